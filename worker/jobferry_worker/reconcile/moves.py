"""The changes of a job in flight, as compare-and-sets. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from jobferry_common.ledger.records import Change
from jobferry_common.names import ClusterName, SchedulerId, Token
from jobferry_common.states import JobState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobferry_common.ledger.records import JobInFlight, JobRecord


def told_by(changes: Iterable[Change]) -> dict[str, int]:
    """Count the attempts of which nobody knew whether they were submitted: found there, or to be submitted again."""
    unsure = [change for change in changes if change.was[0] is JobState.SUBMITTING]
    again = sum(change.record.state is JobState.PENDING for change in unsure)
    ended = sum(change.record.state is JobState.CANCELLED for change in unsure)
    return {"adopted": len(unsure) - again - ended, "recalled": again}


def moved(
    job: JobInFlight,
    state: JobState,
    *,
    now: float,
    id: SchedulerId | None = None,
    reason: str = "",
) -> Change:
    """Bring a job to another state, or point it at another id of the scheduler."""
    old = job.record
    record = replace(
        old,
        state=state,
        id=old.id if id is None else id,
        since=old.since if state is old.state else now,
        reason=reason,
    )
    return Change(job=job.key.job, was=(old.state, old.attempt), record=record, place=old.place)


def retried(
    job: JobInFlight, *, now: float, due: float, reason: str, stays: bool = False
) -> Change:
    """Make a job pending again, as its next attempt."""
    old = job.record
    record = pending_again(old, now=now, reason=reason, stays=stays)
    was = (old.state, old.attempt)
    return Change(job=job.key.job, was=was, record=record, due=due, place=old.place)


def pending_again(
    record: JobRecord,
    *,
    now: float,
    reason: str,
    same_attempt: bool = False,
    stays: bool = False,
) -> JobRecord:
    """Return the record of a job that waits for its next attempt, or once more for the same.

    Where several clusters share the run, it `stays` with the one that has claimed it, or anybody may take it.
    """
    keeps = stays and record.claim > 0
    return replace(
        record,
        state=JobState.PENDING,
        attempt=record.attempt + (not same_attempt),
        cluster=record.cluster if keeps else ClusterName(""),
        claim=record.claim if keeps else 0,
        id=SchedulerId(""),
        token=Token(""),
        since=now,
        reason=reason,
    )
