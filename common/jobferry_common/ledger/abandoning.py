"""Giving up what a cluster has of a run: its scheduler cannot be asked, and the user does not want to wait.

    ledger.abandon(run, "hpc1")       # 12: so many jobs that hpc1 had are free for others

A job that was out gets another attempt elsewhere, and what the cluster says of the old one is refused from now on. It
may still run there, until the cluster answers again: then its worker ends it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import Conflict
from jobferry_common.ledger.findings import FindingsPart
from jobferry_common.ledger.flight import FlightPart
from jobferry_common.ledger.records import Change
from jobferry_common.ledger.sharing import SharingPart
from jobferry_common.names import ClusterName, RunId, SchedulerId, Token
from jobferry_common.states import JobState, Outcome, ResultsState, RunState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobferry_common.ledger.records import JobInFlight, JobRecord, RunRecord

_AT_ONCE: Final = 500
_FINAL: Final = (JobState.FINISHED, JobState.FAILED, JobState.CANCELLED)


class AbandonPart(FlightPart, SharingPart, FindingsPart):
    """Giving up a cluster, for one run."""

    def abandon(self, run: RunId, cluster: ClusterName) -> int:
        """Give up what a cluster has of a run; return how many jobs its scheduler had, or may have had.

        Where other clusters share the run, they do those jobs; a run that goes to this one alone is cancelled.

        Raises:
            Conflict: the cluster has no part in the run.
            UnknownId: the ledger does not hold the run.
        """
        left = int(self.call("leave", run, cluster, self.clock()))
        if left < 0:
            names = ", ".join(self.run(run).clusters)
            msg = f"cluster {cluster} has no part in run {run}: it goes to {names}"
            raise Conflict(msg)
        again = bool(left) and not self.run(run).cancel
        freed = self._free(run, cluster, again=again)
        if not left:
            self._cancel_rest(run)
        self._deliver_nothing(run, cluster, shared=bool(self.run(run).targets))
        return freed

    def strays(self, cluster: ClusterName) -> dict[RunId, list[Token]]:
        """Return the runs that were given up at a cluster, with the tokens that its scheduler may still have."""
        found = self.ask("HGETALL", self.key("strays", cluster))
        return {
            RunId(run): [Token(one) for one in text.split(",") if one]
            for run, text in sorted(found.items())
        }

    def has_strays(self, run: RunId, cluster: ClusterName) -> bool:
        """Tell whether something of a run that was given up there may still run at a cluster."""
        return bool(self.ask("HEXISTS", self.key("strays", cluster), run))

    def come_back(self, run: RunId, cluster: ClusterName) -> bool:
        """Note that nothing of a run is left at the scheduler of a cluster that was given up.

        Results that were left there come after all, if the run still waits for others; and the cluster's directory is
        removed as the run's policy says.

        Returns:
            False if the ledger holds the run no more: its directory is to be removed, then call `forget_strays`.
        """
        return bool(self.call("come_back", run, cluster))

    def forget_strays(self, run: RunId, cluster: ClusterName) -> None:
        """Note that nothing of a run that the ledger does not hold is left at a cluster."""
        self.ask("HDEL", self.key("strays", cluster), run)

    def _free(self, run: RunId, cluster: ClusterName, *, again: bool) -> int:
        flying = [job for job in self.flight(cluster) if job.key.run == run]
        for start in range(0, len(flying), _AT_ONCE):
            part = flying[start : start + _AT_ONCE]
            self.change(run, [c for job in part for c in self._freed(job, again=again)], fence=None)
        return len(flying)

    def _freed(self, job: JobInFlight, *, again: bool) -> Iterator[Change]:
        """Yield the changes that take a job from a cluster."""
        now, old = self.clock(), job.record
        reason = f"given up at {old.cluster}"
        if old.state in (JobState.QUEUED, JobState.RUNNING):
            lost = replace(old.to(JobState.EXITED, now=now), outcome=Outcome.LOST, reason=reason)
            yield _change(job, old, lost)
            old = lost
        if not again:
            yield _change(job, old, replace(old.to(JobState.CANCELLED, now=now), reason=reason))
            return
        pooled = replace(
            old,
            state=JobState.PENDING,
            attempt=old.attempt + 1,
            cluster=ClusterName(""),
            claim=0,
            id=SchedulerId(""),
            token=Token(""),
            since=now,
            reason=reason,
        )
        yield _change(job, old, pooled)

    def _cancel_rest(self, run: RunId) -> None:
        """Cancel what is pending of a run that goes nowhere any more, and end it."""
        while page := self.jobs(run, states={JobState.PENDING}, count=_AT_ONCE):
            self.change(run, [self._cancelled(job, record) for job, record in page], fence=None)
        if self._is_over(self.run(run)):
            self.change_run(run, state=RunState.CANCELLED, reason="its cluster was given up")

    def _cancelled(self, job: int, record: JobRecord) -> Change:
        ended = replace(
            record.to(JobState.CANCELLED, now=self.clock()), reason="its cluster was given up"
        )
        was = (record.state, record.attempt)
        return Change(job=job, was=was, record=ended, place=record.place)

    def _is_over(self, record: RunRecord) -> bool:
        return sum(record.counts[state] for state in _FINAL) == record.jobs

    def _deliver_nothing(self, run: RunId, cluster: ClusterName, *, shared: bool) -> None:
        """What lies at the cluster will not be waited for."""
        at = cluster if shared else None
        if left := len(self.to_collect(run, at=at)):
            self.note_lack(run, f"results of {left} jobs stay at {cluster}, which was given up")
        if shared:
            self.place_results(run, cluster, "given up")
        elif self.run(run).state.is_final:
            self.change_run(run, results=ResultsState.DELIVERED)


def _change(job: JobInFlight, old: JobRecord, new: JobRecord) -> Change:
    return Change(job=job.key.job, was=(old.state, old.attempt), record=new, place=old.place)
