"""The scheduler's own name for its cluster, in the ledger: it proves that we ask the one that has our jobs.

A worker that was restarted with another SLURM_CONF would be told by another cluster that none of its jobs is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobferry_common.errors import HostUnreachable

if TYPE_CHECKING:
    from jobferry_common.ledger.records import ClusterRecord
    from jobferry_worker.reconcile.passes import Pass


class StrangeScheduler(HostUnreachable):
    """The scheduler that answers is not the one that has our jobs."""


def prove_scheduler(p: Pass, record: ClusterRecord) -> None:
    """Compare the scheduler's name with the one that jobs were given to; remember it where there are none.

    Raises:
        StrangeScheduler: it is another one, although jobs are out; unless an operator resumed the cluster.
    """
    is_old = p.cluster.knows_facts
    found = p.facts.cluster
    key = f"scheduler of {p.name}"
    known = p.ledger.remembered(key)
    if (
        is_old and found != known
    ):  # what was said before another worker found another name is not said again
        p.cluster.forget_facts()
        found = p.facts.cluster
    if found == known:
        return
    is_resumed = record.paused_by == "operator" and not record.paused
    if known and not is_resumed and _has_jobs(p):
        p.cluster.forget_facts()  # the configuration may be put right while we run
        msg = (
            f"{p.cluster.scheduler.name} of {p.name} calls its cluster {found!r}, but jobs are out on {known!r}. "
            "Check the configuration of this cluster's worker (SLURM_CONF, PATH, its host). Nothing is done until "
            "it is the same again; if the cluster was renamed or the jobs are gone for good, resume it by hand "
            "or cancel its runs"
        )
        raise StrangeScheduler(msg)
    p.ledger.remember(key, broker=found)


def _has_jobs(p: Pass) -> bool:
    given_up = set(p.ledger.cancel_wishes(p.name))
    return any(job.key.run not in given_up for job in p.ledger.flight(p.name))
