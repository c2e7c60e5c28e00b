"""When a run ends, and what ends with it. Pure.

cancelled on request, or enough jobs finished   what is pending is cancelled; what is out is told to end
failing (and not continue_on_failure)           what is pending is cancelled; what is out is left alone
refused by each of the clusters that share it   what is pending fails; what is out is left alone
every job final                                 finished, failed or cancelled
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jobferry_common.states import JobState, RunState
from jobferry_worker.reconcile.actions import CancelPending, EndRun

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobferry_common.names import RunId
    from jobferry_worker.reconcile.actions import Action
    from jobferry_worker.reconcile.snapshot import RunView, Snapshot

_FINAL: Final = (JobState.FINISHED, JobState.FAILED, JobState.CANCELLED)


def plan_ends(s: Snapshot) -> Iterator[Action]:
    """Return what ends of each run that was looked at."""
    for run, view in s.runs.items():
        if not view.record.state.is_final:
            yield from ends_of(run, view)
    for run, reason in s.broken.items():
        yield CancelPending(run=run, reason=reason)
        if not any(job.key.run == run for job in s.flight):
            yield EndRun(run=run, was=None, state=RunState.FAILED, reason=reason)


def ends_of(run: RunId, view: RunView) -> Iterator[Action]:
    """Return what ends of one run."""
    reason = why_not(view)
    if reason and view.count(JobState.PENDING):
        yield CancelPending(run=run, reason=reason)
    elif view.record.refused and view.count(JobState.PENDING):
        yield CancelPending(run=run, reason=view.record.refused, state=JobState.FAILED)
    if view.count(*_FINAL) == view.record.jobs:
        yield EndRun(run=run, was=view.record.state, state=_end(view), reason=_reason(view))


def why_not(view: RunView) -> str:
    """Return why nothing more of a run is to be submitted; empty if there is no reason."""
    if view.record.cancel:
        return "cancelled on request"
    if view.is_enough:
        return "not needed: enough jobs of the run finished"
    if view.is_failing:
        return "not started: another job of the run failed"
    return ""


def _end(view: RunView) -> RunState:
    if view.is_enough:
        return RunState.FINISHED
    if view.record.cancel or not view.count(JobState.FAILED):
        return RunState.CANCELLED
    return RunState.FAILED


def _reason(view: RunView) -> str:
    match _end(view):
        case RunState.FAILED:
            return f"{view.count(JobState.FAILED)} of {view.record.jobs} jobs failed"
        case RunState.CANCELLED:
            return "cancelled on request" if view.record.cancel else "its jobs were cancelled"
        case _:
            return ""
