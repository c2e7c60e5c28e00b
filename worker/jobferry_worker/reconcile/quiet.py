"""A pass in which nothing can have changed since the last costs a few questions, however many jobs are out.

To skip is always safe, it only costs latency; so a full pass is made every few seconds all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jobferry_common.states import JobState
from jobferry_worker.reconcile.claims import is_left_to_others
from jobferry_worker.reconcile.snapshot import OUT

if TYPE_CHECKING:
    from jobferry_worker.reconcile.passes import Pass
    from jobferry_worker.reconcile.snapshot import Snapshot

#: most time between two full passes while jobs are out
_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """How the last full pass left the cluster."""

    at: float  #: Unix time
    out: int  #: jobs that the scheduler has or may have
    no_room: bool  #: what is due cannot go before a job ends
    left: bool = False  #: all that is due is shared with other clusters, and this one claims nothing of it now

    @classmethod
    def after(cls, p: Pass, s: Snapshot) -> Quiet | None:
        """Return what a full pass left; None when there is something to go on with."""
        waits = s.hints or s.judged or any(job.record.state is JobState.EXITED for job in s.flight)
        if waits or s.paused:
            return None
        out = sum(job.record.state in OUT for job in s.flight)
        return cls(at=p.clock(), out=out, no_room=s.limits.room == 0, left=is_left_to_others(s))

    def holds(self, p: Pass) -> bool:
        """Return True when nothing has come that a full pass would act on."""
        now, memory = p.clock(), p.memory
        if not 0 <= now - self.at < _SECONDS or (self.out and now >= memory.look_at):
            return False
        if self.left and p.ledger.with_claims(p.name):
            return False  # their files may have come
        due = p.ledger.next_due(p.name)
        if due is not None and due <= now and not (self.no_room or self.left):
            return False
        if p.ledger.cancel_wishes(p.name) or p.ledger.to_judge(p.name):
            return False
        return memory.lying.issuperset(p.names(p.spool))
