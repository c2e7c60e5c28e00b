"""How much a cluster claims of the runs that it shares with others. Pure.

    room here      jobs that may wait at the scheduler (as many as run, at least 16), less those that do, and no more
                   than `max_queued_jobs` allows and a few whose files come meanwhile
    of each run    at most an equal part of what is open (by weight, if there are weights), so that the last jobs do
                   not queue at one cluster while another is idle
    placement      while a better liked cluster has nothing waiting, it may take the work first; for some seconds

What runs is no promise of more: a cluster whose jobs only wait claims nothing, however many of them it could queue.
"""

from __future__ import annotations

from collections import Counter
from math import ceil
from typing import TYPE_CHECKING, Final

from jobferry_common.states import JobState
from jobferry_worker.reconcile.actions import ClaimJobs
from jobferry_worker.reconcile.ends import why_not
from jobferry_worker.reconcile.room import Wish, share
from jobferry_worker.reconcile.snapshot import OUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobferry_common.ledger.records import Pool
    from jobferry_common.names import ClusterName, RunId
    from jobferry_worker.reconcile.snapshot import RunView, Snapshot

#: jobs that may wait at a scheduler of which nothing more is known
_LEAST: Final = 16
#: jobs beyond the room there is, whose files come while others run
_SPARE: Final = 8
#: where it is known how many run at once: so many times that number may be out, so that none of them is ever idle
_ROUNDS: Final = 3
_WAITING: Final = (JobState.SUBMITTING, JobState.QUEUED)


def plan_claims(s: Snapshot) -> Iterator[ClaimJobs]:
    """Return what to claim now."""
    room = claim_room(s)
    if room <= 0:
        return
    out = Counter(job.key.run for job in s.flight if job.record.state in OUT)
    wishes = []
    for run, pool in s.pools.items():
        if not _may_claim(s, run):
            continue
        view = s.runs[run]
        if (part := _part(s, view, pool)) > 0:
            has = out[run] + pool.claimed + pool.staged
            wishes.append(Wish(view.record.owner, run, part, has, view.record.priority))
    for run, count in share(room, wishes).items():
        yield ClaimJobs(run=run, limit=count)


def is_left_to_others(s: Snapshot) -> bool:
    """Tell whether all that is due is shared, and nothing of it is to be claimed here now.

    A job that ends, or that is seen to run, makes room: the spool and the next look tell.
    """
    shared = bool(s.due) and all(run in s.pools and not jobs for run, jobs in s.due)
    return shared and not any(True for _ in plan_claims(s))


def claim_room(s: Snapshot) -> int:
    """Return how many jobs may be claimed now, of all runs together."""
    states = Counter(job.record.state for job in s.flight)
    waiting = sum(states[state] for state in _WAITING)
    ahead = s.limits.ahead or max(_LEAST, states[JobState.RUNNING])
    free = ahead - waiting
    if s.limits.slots is not None:
        # which of them run is known late; how many can is known from the start
        free = _ROUNDS * s.limits.slots - waiting - states[JobState.RUNNING]
    if s.limits.room is not None:
        free = min(free, s.limits.room + _SPARE)
    return free - sum(pool.claimed + pool.staged for pool in s.pools.values())


def is_liked_elsewhere(s: Snapshot, view: RunView, pool: Pool) -> bool:
    """Tell whether a cluster that lives, and is liked better, has nothing of the run waiting: it may take it first."""
    return any(
        not pool.count(name, JobState.PENDING, *_WAITING)
        for name in view.record.targets
        if name in s.live and _is_better(view, pool, name, s.me)
    )


def _is_better(view: RunView, pool: Pool, name: ClusterName, me: ClusterName) -> bool:
    placement = view.header.placement
    if placement == "order":
        order = view.record.targets
        return me not in order or order.index(name) < order.index(me)
    if isinstance(placement, str):
        return False
    return _taken(pool, name) / _weight(view, name) < _taken(pool, me) / _weight(view, me)


def _taken(pool: Pool, name: ClusterName) -> int:
    return pool.count(name, *JobState)


def _weight(view: RunView, name: ClusterName) -> float:
    placement = view.header.placement
    return 1.0 if isinstance(placement, str) else placement.get(name, 1.0)


def _may_claim(s: Snapshot, run: RunId) -> bool:
    view = s.runs.get(run)
    if view is None or run in s.broken or view.record.state.is_final or view.record.held:
        return False
    hold = s.holds.get(run)
    if why_not(view) or (hold and s.now < hold.until) or s.now < s.unstageable.get(run, 0.0):
        return False
    if not s.tags.issuperset(view.header.requires):
        return False
    since = s.offered.get(run)
    return since is None or s.now - since >= s.patience.placement


def _part(s: Snapshot, view: RunView, pool: Pool) -> int:
    """Return the most to claim: of what waits an equal part, or its weight's, among the clusters that live."""
    living = {name for name in view.record.targets if name in s.live} | {s.me}
    if view.header.placement == "order":  # who is liked best takes all that it has room for
        living = {s.me}
    whole = sum(_weight(view, name) for name in living)
    mine = pool.count(s.me, JobState.PENDING, *_WAITING)
    if s.limits.slots is not None:  # as many of them run, although that is known late
        mine = max(mine + pool.count(s.me, JobState.RUNNING) - s.limits.slots, 0)
    part = max(ceil((pool.open + mine) * _weight(view, s.me) / whole), 1) - mine
    hold = s.holds.get(view.record.id)
    return min(part, pool.open, hold.batch if hold else part)
