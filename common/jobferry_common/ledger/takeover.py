"""What a new run need not do again: work that an earlier run of the submission finished.

A task is taken over if the earlier run has one in the same directory with the same key (its command, and digests
of what it reads) in a job that finished. A job is finished from the start if that holds for all of its tasks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jobferry_common.ledger.records import JobRecord
from jobferry_common.states import JobState, Outcome

if TYPE_CHECKING:
    from jobferry_common.document import Document
    from jobferry_common.ledger.jobs import JobsPart
    from jobferry_common.names import RunId

_PAGE: Final = 5000
#: how the reason of a job begins that was finished from the start
TAKEN_OVER: Final = "taken over from "


def taken_over(
    ledger: JobsPart, run: RunId, document: Document, *, now: float
) -> tuple[dict[int, str], int]:
    """Return the packed records of jobs that are finished from the start, and how many tasks they hold."""
    done = _finished_work(ledger, run)
    header, tasks = document.header, document.tasks
    jobs = [
        job
        for job in range(header.jobs)
        if all((tasks[i].path, tasks[i].key) in done for i in header.tasks_of(job))
    ]
    record = JobRecord(
        state=JobState.FINISHED,
        outcome=Outcome.SUCCEEDED,
        since=now,
        reason=f"{TAKEN_OVER}{run}",
    ).pack()
    return dict.fromkeys(jobs, record), sum(len(header.tasks_of(job)) for job in jobs)


def _finished_work(ledger: JobsPart, run: RunId) -> set[tuple[str, str]]:
    """Return directory and key of each task of a finished job."""
    header = ledger.header(run)
    finished = _finished_jobs(ledger, run)
    return {
        (task.path, task.key)
        for page in ledger.task_pages(run)
        for index, task in page
        if task.key and index // header.group_size in finished
    }


def _finished_jobs(ledger: JobsPart, run: RunId) -> set[int]:
    found: set[int] = set()
    start = 0
    while page := ledger.jobs(run, states={JobState.FINISHED}, start=start, count=_PAGE):
        found |= {job for job, _ in page}
        start = page[-1][0] + 1
    return found
