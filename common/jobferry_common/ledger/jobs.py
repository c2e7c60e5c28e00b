"""Jobs of a run: reading them, changing them, and which of them still have results to bring.

done = ledger.change(run, [Change(job=0, was=(JobState.QUEUED, 1), record=record)], fence=fence)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jobferry_common.errors import Conflict, IllegalTransition, UnknownId
from jobferry_common.ledger.codes import pack_event
from jobferry_common.ledger.pages import marks_of
from jobferry_common.ledger.records import Change, Fence, JobRecord
from jobferry_common.ledger.runs import RunsPart
from jobferry_common.ledger.store import fence_arguments
from jobferry_common.ledger.takeover import TAKEN_OVER
from jobferry_common.states import JOB_TRANSITIONS, JobState, ResultsState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from jobferry_common.names import ClusterName, RunId

_WINDOW: Final = 1000


class JobsPart(RunsPart):
    """The records of jobs."""

    def job(self, run: RunId, job: int) -> JobRecord:
        """Return the record of a job.

        Raises:
            UnknownId: the ledger does not hold the run, or the run has no such job.
        """
        found = self.jobs(run, start=job, count=1)
        if not found or found[0][0] != job:
            msg = f"run {run} has no job {job}: it has {self.run(run).jobs}, counted from 0"
            raise UnknownId(msg)
        return found[0][1]

    def jobs(
        self,
        run: RunId,
        *,
        states: Collection[JobState] | None = None,
        start: int = 0,
        count: int = 1000,
    ) -> list[tuple[int, JobRecord]]:
        """Return up to `count` jobs from job `start` on, in order; only those in `states`, if given.

        Raises:
            UnknownId: the ledger does not hold the run.
        """
        record = self.run(run)
        unborn = JobRecord(since=record.accepted)
        wanted = frozenset(JobState) if states is None else frozenset(states)
        left = sum(record.counts[state] for state in wanted)
        found: list[tuple[int, JobRecord]] = []
        while start < record.jobs and len(found) < count and left > len(found):
            stop = min(start + _WINDOW, record.jobs)
            if states is None:
                stop = min(stop, start + count - len(found))
            window = self._window(run, range(start, stop), unborn)
            found += [item for item in window if item[1].state in wanted]
            start = stop
        return found[:count]

    def change(self, run: RunId, changes: Sequence[Change], *, fence: Fence | None) -> list[bool]:
        """Carry out each change whose job is still as it says; all of them at once, with one event.

        A change to exactly what already stands answers True. A job that stays in its state (a new reason, the
        scheduler's id) is no event.

        Raises:
            IllegalTransition: the table of states forbids one of them; nothing was written.
            LeaseLost: the fence is stale; nothing was written.
            UnknownId: the ledger does not hold the run.
        """
        if not changes:
            return []
        for change in changes:
            _check(run, change)
        at = max(change.record.since for change in changes)
        head = (run, *fence_arguments(fence), f"{at:.2f}")
        body = [part for change in changes for part in _arguments(change)]
        return [bool(answer) for answer in self.call("change", *head, *body)]

    def to_collect(
        self, run: RunId, limit: int = 1000, *, at: ClusterName | None = None
    ) -> list[int]:
        """Return jobs that ended and whose results are still on the cluster; `at` names one of several."""
        parts = ("run", run, "collect") if at is None else ("run", run, "collect", at)
        found = self.ask("SRANDMEMBER", self.key(*parts), limit)
        return sorted(int(job) for job in found)

    def collected(self, run: RunId, jobs: Iterable[int], *, at: ClusterName | None = None) -> int:
        """Note that the results of these jobs were brought; return how many jobs still wait for that there."""
        return int(self.call("collected", run, at or "", *jobs))

    def is_collected(self, run: RunId, job: int) -> bool:
        """True once a job ended and nothing of it has to be brought from its cluster any more.

        Raises:
            UnknownId: the ledger does not hold the run, or the run has no such job.
        """
        record = self.job(run, job)
        place = (record.cluster,) if record.claim else ()
        waits = self.ask("SISMEMBER", self.key("run", run, "collect", *place), job)
        return record.state.is_final and not waits

    def collectable(self, cluster: ClusterName) -> list[RunId]:
        """Return the runs of a cluster that have results to bring."""
        return sorted(self.ask("SMEMBERS", self.key("collect", cluster)))

    def bring_again(self, run: RunId) -> bool:
        """Have the results of all jobs that ended brought once more; False once the run's files are gone.

        Raises:
            Conflict: another run works in its directories by now.
            UnknownId: the ledger does not hold the run.
        """
        if self.run(run).results is not ResultsState.CLEANED:
            self._reclaim(run)
        return self.collect_again(run)

    def collect_again(self, run: RunId, *, at: ClusterName | None = None) -> bool:
        """Do the same where the directories are the run's own, because its results were never delivered.

        With `at`, one of several clusters brings again what it had; it has to be about that at this moment.
        """
        ended = {state for state in JobState if state.is_final}
        start = 0
        while page := self.jobs(run, states=ended, start=start):
            own = [
                job
                for job, record in page
                if not record.reason.startswith(TAKEN_OVER) and at in (None, record.cluster)
            ]
            if own and not self.call("bring_again", run, self.clock(), *own):
                return False
            start = page[-1][0] + 1
        return at is not None or bool(self.call("bring_again", run, self.clock()))

    def _reclaim(self, run: RunId) -> None:
        header = self.header(run)
        for page in self.task_pages(run):
            marks = marks_of(header, (task for _, task in page))
            if other := self.call("reclaim", run, *marks):
                msg = (
                    f"run {other} works in a directory under {header.source} where results of run {run} "
                    f"belong: wait for it (`jobferry watch {other}`), then fetch again"
                )
                raise Conflict(msg)

    def _window(
        self, run: RunId, indices: Sequence[int], unborn: JobRecord
    ) -> list[tuple[int, JobRecord]]:
        if not indices:
            return []
        texts = self.ask("HMGET", self.key("run", run, "jobs"), *indices)
        rows = zip(indices, texts, strict=True)
        return [(job, JobRecord.unpack(text) if text else unborn) for job, text in rows]


def _check(run: RunId, change: Change) -> None:
    """Refuse what the table forbids; the script says so again, about what really stands."""
    state, attempt = change.was
    to = change.record
    legal = to.state in JOB_TRANSITIONS[state] or (to.state is state and not state.is_final)
    following = state is not JobState.PENDING and to.state is JobState.PENDING
    if legal and to.attempt in ((attempt, attempt + 1) if following else (attempt,)):
        return
    msg = (
        f"job {run}/{change.job} cannot go from {state.value} (attempt {attempt}) to "
        f"{to.state.value} (attempt {to.attempt}). Nothing was written."
    )
    raise IllegalTransition(msg)


def _arguments(change: Change) -> tuple[str | int | float, ...]:
    (state, attempt), to = change.was, change.record
    what = (to.state.value, to.attempt, to.pack(), change.due, pack_event(change.job, to))
    return (change.job, state.value, attempt, *what, "*" if change.place is None else change.place)
