"""A pass and the runs that its cluster shares with others: what is spread how, and what comes back to the pool."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import UnknownId
from jobferry_common.ledger.sharing import ClaimWaits
from jobferry_common.messages import is_inline
from jobferry_worker.reconcile.claims import is_liked_elsewhere
from jobferry_worker.reconcile.killpoints import kill_here
from jobferry_worker.reconcile.singly import say

if TYPE_CHECKING:
    from jobferry_common.names import RunId
    from jobferry_worker.reconcile.actions import ClaimJobs
    from jobferry_worker.reconcile.passes import Pass
    from jobferry_worker.reconcile.snapshot import Snapshot

logger: Final = logging.getLogger(__name__)

#: part of the limit of silence after which the other clusters are looked at again, and the most seconds
_PARTS: Final = 4
_SECONDS: Final = 2.0


def look_at_peers(p: Pass) -> None:
    """See who works; what a cluster claimed that was away for too long goes back to the pool."""
    now, limit, peers = p.clock(), p.timings.claim_seconds, p.memory.peers
    if 0 <= now - peers.asked < min(limit / _PARTS, _SECONDS):
        return
    peers.note(p.ledger.clusters(), now)
    _join(p)
    for name in peers.away(now, limit):
        for run in p.ledger.with_claims(name):
            if given := p.ledger.unclaim(run, name):
                p.changed += 1
                logger.warning(
                    "%d jobs of %s go back to the pool: %s has claimed them, and was paused or silent for %.0f s.",
                    *(given, run, name, limit),
                    extra={"action": "unclaim"},
                )


def _join(p: Pass) -> None:
    """Take part in what any cluster may do, if this one fits."""
    if is_inline(p.name):
        return
    tags, known = set(p.cluster.profile.tags), p.memory.joined
    runs = set(p.ledger.joinable())
    known &= runs
    for run in sorted(runs - known):
        known.add(run)
        if tags.issuperset(p.header(run).requires) and p.ledger.join(run, p.name):
            p.changed += 1
            logger.info("%s takes part in %s.", p.name, run, extra={"action": "join"})


def with_shared(p: Pass, s: Snapshot) -> Snapshot:
    """Add how each run is spread that clusters share, and who works; note since when work is left to others."""
    shared = [run for run, _ in s.due if run in s.runs and s.runs[run].record.targets]
    if not shared:
        return s
    now, memory = p.clock(), p.memory
    seen = replace(
        s,
        me=p.name,
        tags=frozenset(p.cluster.profile.tags),
        pools={run: p.ledger.pool(run, p.name, now=now) for run in shared},
        live=memory.peers.live(now, p.timings.claim_seconds),
        unstageable={run: until for run, (_, until) in memory.unstageable.copy().items()},
    )
    left = (r for r, pool in seen.pools.items() if is_liked_elsewhere(seen, seen.runs[r], pool))
    memory.offered = {run: memory.offered.get(run, now) for run in left}
    return replace(seen, offered=memory.offered)


def to_stage(p: Pass) -> tuple[RunId, ...]:
    """Return the runs of which jobs are claimed here whose files are not here yet."""
    now, rest = p.clock(), p.memory.unstageable
    claimed = (run for run in p.ledger.with_claims(p.name) if p.ledger.claimed(run, p.name, 1))
    return tuple(run for run in claimed if now >= rest.get(run, (0, 0.0))[1])


def claim_jobs(p: Pass, action: ClaimJobs) -> None:
    """Claim jobs of a shared run."""
    p.step()
    try:
        jobs = p.ledger.claim(action.run, p.name, action.limit, fence=p.lease.fence, now=p.clock())
    except ClaimWaits as error:
        say(p, action.run, error.advice(action.run))
        return
    except UnknownId as error:
        logger.warning("%s", error, extra={"action": "claim-jobs"})
        return
    p.changed += len(jobs)
    if jobs:
        logger.info("Claimed %d jobs of %s.", len(jobs), action.run, extra={"action": "claim-jobs"})
    kill_here("after-claimed")
