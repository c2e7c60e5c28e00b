"""Too many jobs gone at once are a sign of trouble, not of ends: an unmounted directory, a wrong configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jobferry_common.schedulers.base import Phase
from jobferry_common.states import Outcome
from jobferry_worker.reconcile.snapshot import OUT, try_of

if TYPE_CHECKING:
    from jobferry_common.ledger.records import JobInFlight
    from jobferry_worker.reconcile.snapshot import Look, Snapshot

_MOST: Final = 10
_SHARE: Final = 0.2


def mass_vanishing(s: Snapshot) -> str:
    """Return why the cluster is to be paused; empty if all is well, or an operator knows better."""
    if s.look is None or s.trusting:
        return ""
    out = [job for job in s.flight if job.record.state in OUT]
    gone = sum(_is_gone(s, s.look, job) for job in out)
    if gone <= max(_MOST, _SHARE * len(out)):
        return ""
    return (
        f"{gone} of {len(out)} jobs vanished from the scheduler at once and left no exit record. "
        "None is counted as lost. Check the scheduler and the file system of the cluster; "
        "when they are really gone, resume the cluster by hand."
    )


def _is_gone(s: Snapshot, look: Look, job: JobInFlight) -> bool:
    """Return True for a job without a record which the scheduler does not know, or calls a success.

    What nobody wants any more was cancelled by us: that it is gone is no surprise. Nor is the end of a job that began
    to write its record, and had no room for it.
    """
    key = job.record.id
    if not key or key in look.unreadable or try_of(job) in s.records or s.unwanted(job.key.run):
        return False
    # it ran nothing, so it leaves nothing; or it left as much of its record as there was room for
    if try_of(job) in s.taken_back or try_of(job) in s.cut:
        return False
    said = look.said_of(job.record)
    if said is None:
        return job.key in s.missing and key not in look.removed
    late = s.now - s.ended.get(job.key, s.now) >= s.patience.late
    return said.phase is Phase.ENDED and said.outcome is Outcome.SUCCEEDED and late
