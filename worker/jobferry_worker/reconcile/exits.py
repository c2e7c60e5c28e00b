"""How an attempt ended, and what becomes of its job. Pure.

end = by_record(s, job, record)       # End(outcome=FAILED, code=3, reason="exit code 3")
exited(s, job, end)                   # running → exited
settled(s, job.key, record)           # exited → finished, pending again, failed or cancelled
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from jobferry_common.ledger.records import Change
from jobferry_common.states import JobState, Outcome
from jobferry_worker.reconcile import failures
from jobferry_worker.reconcile.moves import pending_again
from jobferry_worker.reconcile.snapshot import try_of

if TYPE_CHECKING:
    from jobferry_common.ledger.records import JobInFlight, JobRecord
    from jobferry_common.names import JobKey
    from jobferry_common.schedulers.base import Seen
    from jobferry_common.scripts.records import ExitRecord, TaskEnd
    from jobferry_worker.reconcile.snapshot import RunView, Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The end of an attempt."""

    outcome: Outcome
    code: int | None = None
    reason: str = ""
    nodes: str = ""  #: where it ran, in the scheduler's own form; "" where that is not known


def by_record(s: Snapshot, job: JobInFlight, record: ExitRecord) -> End:
    """Read the end from the job's own record."""
    view = s.runs.get(job.key.run)
    tasks = len(view.header.tasks_of(job.key.job)) if view else len(record.tasks)
    if record.succeeded(tasks) and not record.provisional:
        return End(outcome=Outcome.SUCCEEDED)
    first = record.first_failure
    told = s.unwanted(job.key.run) and (record.provisional or job.key in s.told)
    return End(
        outcome=Outcome.CANCELLED if told else Outcome.FAILED,
        code=first.code if first else None,
        reason=record.reason or _words(record, first, tasks),
    )


def by_scheduler(s: Snapshot, job: JobInFlight, said: Seen) -> End:
    """Take the scheduler's word; a success of which no record tells is none."""
    record = s.records.get(try_of(job))
    if said.outcome is Outcome.SUCCEEDED:
        reason = f"the scheduler calls it completed, but {_left(s, job)}"
        return by_record(s, job, record) if record else End(outcome=Outcome.LOST, reason=reason)
    first = record.first_failure if record else None
    return End(
        outcome=said.outcome or Outcome.FAILED,
        code=first.code if first else said.code,
        reason=said.reason or (record.reason if record else "") or f"ended: {said.outcome}",
        nodes=said.nodes,
    )


def lost(s: Snapshot, job: JobInFlight) -> End:
    """Return the end of a job that is gone without a record."""
    return End(outcome=Outcome.LOST, reason=f"gone from the scheduler, and {_left(s, job)}")


def _left(s: Snapshot, job: JobInFlight) -> str:
    if try_of(job) in s.cut:
        return (
            "its exit record was cut off: was the disk of the cluster full, or the quota used up?"
        )
    return "it left no exit record"


def taken_back() -> End:
    """Return the end of a job that found its attempt claimed by a worker, and ran nothing."""
    reason = "its attempt had been taken back before it started"
    return End(outcome=Outcome.LOST, reason=reason)


def removed() -> End:
    """Return the end of an element that its array has no more, and that never claimed its attempt."""
    reason = "removed from its array at the scheduler before it started"
    return End(outcome=Outcome.CANCELLED, reason=reason)


def exited(s: Snapshot, job: JobInFlight, end: End) -> Change:
    """Note the end of the attempt: one try is used up, and the node is not forgotten that is to be avoided."""
    record = replace(
        job.record,
        state=JobState.EXITED,
        tries=job.record.tries + 1,
        outcome=end.outcome,
        code=end.code,
        reason=end.reason,
        since=s.now,
    )
    if view := s.runs.get(job.key.run):
        asks, reason = failures.where(view.header, record, end.nodes)
        record = replace(record, asks=asks, reason=reason)
    was = (job.record.state, job.record.attempt)
    return Change(job=job.key.job, was=was, record=record, place=job.record.place)


def settled(s: Snapshot, key: JobKey, record: JobRecord) -> tuple[Change, ...]:
    """Decide what becomes of a job whose attempt ended.

    Its claim is taken, by itself or by the worker, so another attempt cannot run beside it.
    """
    view = s.runs.get(key.run)
    if view is None and key.run not in s.broken:
        return ()
    was = (JobState.EXITED, record.attempt)
    if state := _end_of(view, record):
        ended = replace(record, state=state, since=s.now)
        return (Change(job=key.job, was=was, record=ended, place=record.place),)
    found = failures.verdict(view.header, record) if view else None
    if found is None or not found.again:
        words = found.reason if found else record.reason
        failed = replace(record, state=JobState.FAILED, since=s.now, reason=words)
        return (Change(job=key.job, was=was, record=failed, place=record.place),)
    due = s.now + _backoff(s, found.tries + sum(times for _, times in found.asks.times))
    # its files are here, unless nobody knows for how long nothing goes on here
    again = pending_again(record, now=s.now, reason=found.reason, stays=not s.paused)
    again = replace(again, tries=found.tries, asks=found.asks)
    return (Change(job=key.job, was=was, record=again, due=due, place=record.place),)


def _end_of(view: RunView | None, record: JobRecord) -> JobState | None:
    """Return how a job ends whatever its rules say; None if it may be tried again."""
    if record.outcome is Outcome.SUCCEEDED:
        return JobState.FINISHED
    if view is None:
        return JobState.FAILED
    if view.is_unwanted:
        return JobState.CANCELLED
    return JobState.FAILED if view.is_failing else None


def _backoff(s: Snapshot, tries: int) -> float:
    return min(s.patience.retry * 2.0 ** min(max(tries - 1, 0), 20), s.patience.retry_max)


def _words(record: ExitRecord, first: TaskEnd | None, tasks: int) -> str:
    if first is None:
        return f"{tasks - len(record.tasks)} of {tasks} tasks did not run"
    what = f"missing {', '.join(first.missing)}" if first.missing else f"exit code {first.code}"
    failed = sum(not task.ok for task in record.tasks)
    return what if tasks == 1 else f"{failed} of {tasks} tasks failed, the first: {what}"
