"""What a new run need not do again: work that an earlier run of the submission finished.

A task is taken over if the earlier run has one in the same directory with the same key (its command, and digests
of what it reads), which succeeded: in a job that finished, or in one that did not and whose results were brought. A job
all of whose tasks are taken over is finished from the start; in others, the script passes over the tasks whose marks
staging wrote.

The new run has a directory of its own, without the files that such a task left in the earlier one. So a task is not
taken over if another of its job is to be done again in its directory, above it or below it. In place, all is there.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from jobferry_common.ledger.partly import pack_tasks
from jobferry_common.ledger.records import JobRecord
from jobferry_common.states import JobState, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from jobferry_common.document import Document, TaskSpec
    from jobferry_common.ledger.accepting import AcceptPart
    from jobferry_common.names import RunId

_PAGE: Final = 5000
#: how the reason of a job begins that was finished from the start
TAKEN_OVER: Final = "taken over from "


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenOver:
    """What is done before a run begins."""

    jobs: Mapping[int, str] = field(default_factory=dict)  #: whole jobs, their records packed
    tasks: Mapping[int, str] = field(default_factory=dict)  #: job → some of its tasks, packed
    count: int = 0  #: tasks of both


def taken_over(ledger: AcceptPart, run: RunId, document: Document, *, now: float) -> TakenOver:
    """Return what a new run takes over from an earlier one."""
    done = _finished_work(ledger, run)
    header, specs = document.header, document.tasks
    record = JobRecord(
        state=JobState.FINISHED,
        outcome=Outcome.SUCCEEDED,
        since=now,
        reason=f"{TAKEN_OVER}{run}",
    ).pack()
    jobs: dict[int, str] = {}
    tasks: dict[int, str] = {}
    count = 0
    for job in range(header.jobs):
        own = header.tasks_of(job)
        ready = [index for index in own if (specs[index].path, specs[index].key) in done]
        if len(ready) == len(own):
            jobs[job] = record
        elif ready:
            again = [specs[index].path for index in sorted(set(own) - set(ready))]
            ready = ready if header.in_place else list(_apart(ready, document, again))
            if ready:
                tasks[job] = pack_tasks(ready, own)
        count += len(ready)
    return TakenOver(jobs=jobs, tasks=tasks, count=count)


def _apart(ready: Iterable[int], document: Document, again: Iterable[str]) -> Iterator[int]:
    """Yield the tasks in whose directories, and above and below them, nothing is done again."""
    within = {posixpath.normpath(path) for path in again}
    above = {parent for path in within for parent in _parents(path)}
    for index in ready:
        path = posixpath.normpath(document.tasks[index].path)
        if path not in above and within.isdisjoint((path, *_parents(path))):
            yield index


def _parents(path: str) -> Iterator[str]:
    while path not in (".", ""):
        path = posixpath.dirname(path) or "."
        yield path


def _finished_work(ledger: AcceptPart, run: RunId) -> set[tuple[str, str]]:
    """Return directory and key of the tasks that succeeded; of several alike, if all of them did."""
    header = ledger.header(run)
    finished = _finished_jobs(ledger, run)
    partly = ledger.done_tasks(run)
    done: set[tuple[str, str]] = set()
    undone: set[tuple[str, str]] = set()

    def add(index: int, task: TaskSpec) -> None:
        job = index // header.group_size
        succeeded = job in finished or index in partly.get(job, ())
        (done if succeeded and task.key else undone).add((task.path, task.key))

    for page in ledger.task_pages(run):
        for index, task in page:
            add(index, task)
    return done - undone


def _finished_jobs(ledger: AcceptPart, run: RunId) -> set[int]:
    found: set[int] = set()
    start = 0
    while page := ledger.jobs(run, states={JobState.FINISHED}, start=start, count=_PAGE):
        found |= {job for job, _ in page}
        start = page[-1][0] + 1
    return found
