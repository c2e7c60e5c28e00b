"""The plan of a round: a pure function of what was seen.

    for action in plan(snapshot): ...

Questions come first: while an attempt's claim decides over a job, nothing else is done in that round, and `plan` is
asked again with the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobferry_worker.reconcile.actions import (
    CancelJobs,
    ChangeJobs,
    Forget,
    MakeClaims,
    Pause,
    Tidy,
)
from jobferry_worker.reconcile.claims import plan_claims
from jobferry_worker.reconcile.ends import plan_ends
from jobferry_worker.reconcile.flight import Step, steps
from jobferry_worker.reconcile.mass import mass_vanishing
from jobferry_worker.reconcile.snapshot import OUT, try_of
from jobferry_worker.reconcile.submits import plan_submits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobferry_common.ledger.records import Change
    from jobferry_common.names import RunId
    from jobferry_worker.reconcile.actions import Action
    from jobferry_worker.reconcile.snapshot import Snapshot


def plan(s: Snapshot) -> tuple[Action, ...]:
    """Return what to do next, in this order; claims to be made stand alone."""
    reason = mass_vanishing(s)
    found = steps(s, frozen=bool(reason))
    if claims := tuple(try_of(step.job) for step in found if step.claim):
        return (MakeClaims(tries=claims),)
    goes: tuple[Action, ...] = ()
    if not (reason or s.paused):
        goes = (*plan_submits(s), *plan_claims(s))
    pause: tuple[Action, ...] = (Pause(reason=reason),) if reason and not s.paused else ()
    return (
        *pause,
        *_changes(found),
        *_cancels(s, found),
        *_tidy(s),
        *_forget(found),
        *plan_ends(s),
        *goes,
    )


def _changes(found: list[Step]) -> Iterator[Action]:
    by_run: dict[RunId, list[Change]] = {}
    for step in found:
        if step.changes:
            by_run.setdefault(step.job.key.run, []).extend(step.changes)
    for run, changes in by_run.items():
        yield ChangeJobs(run=run, changes=tuple(changes))


def _cancels(s: Snapshot, found: list[Step]) -> Iterator[Action]:
    jobs = tuple(
        (step.job.key, step.cancel)
        for step in found
        if step.cancel and s.now - s.told.get(step.job.key, 0.0) >= s.patience.again
    )
    if jobs:
        yield CancelJobs(jobs=jobs)


def _tidy(s: Snapshot) -> Iterator[Action]:
    """Remove hints whose job is not out any more in that attempt, and hints of provisional records.

    A provisional record is remembered by the worker, and found again once the scheduler lets go of the job.
    """
    out = {try_of(job): job.key for job in s.flight if job.record.state in OUT}
    needless = [
        name
        for key, name in s.hints.items()
        if key not in out or ((record := s.records.get(key)) and record.provisional)
    ]
    if needless or s.strange_hints:
        yield Tidy(names=(*needless, *s.strange_hints))


def _forget(found: list[Step]) -> Iterator[Action]:
    """Jobs whose end is told in this round need not be listed any more."""
    ids = {step.job.record.id for step in found if step.over and step.job.record.id}
    if ids:
        yield Forget(ids=tuple(sorted(ids)))
