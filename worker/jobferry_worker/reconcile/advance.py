"""One pass over a cluster: bounded, repeatable, and safe to be killed anywhere.

    report = advance(ledger, cluster, settings)
    report.next_look          # seconds until the next pass is worth while
    report.stage              # runs whose files are to be brought there

A pass takes the cluster's lease, or leaves at once. It proves whom it talks to, reads back what the broker may have
forgotten, and then goes through rounds (observe, plan, apply) until nothing changes any more.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import (
    BrokerUnreachable,
    HostUnreachable,
    LeaseLost,
    SchedulerError,
    StagingError,
    UnknownId,
)
from jobferry_common.ledger.records import ClusterRecord
from jobferry_worker.reconcile import health
from jobferry_worker.reconcile.actions import MakeClaims
from jobferry_worker.reconcile.apply import apply, claim
from jobferry_worker.reconcile.culprits import plan_around
from jobferry_worker.reconcile.expire import expire
from jobferry_worker.reconcile.finding import mark_wished_ends
from jobferry_worker.reconcile.killpoints import kill_here
from jobferry_worker.reconcile.lease import Lease, holder
from jobferry_worker.reconcile.mass import mass_vanishing
from jobferry_worker.reconcile.observe import observe
from jobferry_worker.reconcile.passes import Pass
from jobferry_worker.reconcile.quiet import Quiet
from jobferry_worker.reconcile.readback import answer_for_shared, read_back
from jobferry_worker.reconcile.recover import (
    recover_forgotten,
    recover_if_wished,
    settle_names,
)
from jobferry_worker.reconcile.root import prove_root
from jobferry_worker.reconcile.same import prove_scheduler
from jobferry_worker.reconcile.sharing import look_at_peers, to_stage, with_shared
from jobferry_worker.reconcile.snapshot import OUT
from jobferry_worker.reconcile.strays import end_strays
from jobferry_worker.reconcile.sweeping import sweep
from jobferry_worker.reconcile.unreached import cancel_unsubmitted

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobferry_common.ledger import Ledger
    from jobferry_common.names import ClusterName, RunId
    from jobferry_common.settings import Settings
    from jobferry_worker.cluster import Cluster
    from jobferry_worker.reconcile.actions import Action
    from jobferry_worker.reconcile.snapshot import RunView, Snapshot

logger: Final = logging.getLogger(__name__)

#: rounds of a pass; what is left then comes with the next
_ROUNDS: Final = 8
#: times that claims are asked for within one round
_QUESTIONS: Final = 4
#: seconds until somebody else's pass has probably ended
_BUSY_SECONDS: Final = 0.5
_LEAST_SECONDS: Final = 0.1
#: entries of the memory beyond which those of ended runs are dropped
_REMEMBERED: Final = 1000
#: stands for the reason of a pause that began in this very pass
_MASS: Final = "too many jobs vanished"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a pass leads to."""

    #: seconds until the next pass is due, if no hint comes before; None: nothing is out, nothing waits
    next_look: float | None
    stage: tuple[RunId, ...] = ()  #: runs whose files are to be brought to the cluster
    collect: tuple[RunId, ...] = ()  #: runs that have results to be fetched
    changed: int = 0  #: changes of jobs and runs
    others: tuple[ClusterName, ...] = ()  #: clusters that are to look, too
    out: int = 0  #: jobs that the scheduler has or may have


def advance(
    ledger: Ledger,
    cluster: Cluster,
    settings: Settings,
    clock: Callable[[], float] = time.time,
    steady: Callable[[], float] | None = None,
) -> Report:
    """Make one pass. `steady`: seconds that only grow; the clock, where nobody sets it.

    Raises:
        BrokerUnreachable: the broker does not answer. Everything else that fails is noted on the cluster.
        NewerVersion: the ledger is a newer jobferry's; nothing was written.
    """
    ledger.check_version()
    record, began = _record(ledger, cluster), clock()
    rest = health.is_resting(record, began, settings.timings)
    if rest and not ledger.cancel_wishes(cluster.name):
        return Report(next_look=rest)
    lease = Lease.take(ledger, cluster.lease, settings.timings.lease)
    if lease is None:
        return Report(next_look=_BUSY_SECONDS)
    with lease:
        kill_here("after-lease")
        p = Pass(
            ledger=ledger,
            cluster=cluster,
            settings=settings,
            clock=clock,
            steady=steady or clock,
            lease=lease,
            ledger_id=ledger.id,
            left_alone=set(ledger.runs_aside()),
        )
        return _guarded(p, record, rest, began)


def _guarded(p: Pass, record: ClusterRecord, rest: float, began: float) -> Report:
    """Make the pass, or note why it failed."""
    try:
        if rest:
            cancel_unsubmitted(p)
            return Report(next_look=rest)
        return _pass(p, record)
    except LeaseLost as error:
        logger.warning("Pass over %s given up: %s", p.name, error)
        return Report(next_look=_BUSY_SECONDS)
    except BrokerUnreachable:
        raise
    except (HostUnreachable, SchedulerError, StagingError) as error:
        # what was said while another cluster answered in its place would never be believed again
        p.cluster.forget_facts()
        return Report(next_look=health.failed(p, record, error, began=began))


def _record(ledger: Ledger, cluster: Cluster) -> ClusterRecord:
    """Return the cluster's record; the first time, tell everybody who serves it."""
    if not cluster.memory.announced:
        ledger.announce(
            cluster.name,
            account=cluster.account,
            batch_type=cluster.profile.batch_type,
            context_type=cluster.profile.context_type,
            worker=":".join(holder().split(":")[:2]),
            tags=cluster.profile.tags,
        )
        cluster.memory.announced = True
    try:
        return ledger.cluster(cluster.name)
    except UnknownId:
        cluster.memory.announced = False
        return ClusterRecord(
            name=cluster.name,
            account=cluster.account,
            batch_type=cluster.profile.batch_type,
            context_type=cluster.profile.context_type,
        )


def _pass(p: Pass, record: ClusterRecord) -> Report:
    prove_root(p)
    prove_scheduler(p, record)
    read_back(p, recover_forgotten)
    recover_if_wished(p)
    _see_others(p)
    if (quiet := p.memory.quiet) and quiet.holds(p):
        return _quiet_report(p, quiet)
    looked = mass = False
    s = with_shared(p, observe(p, record))
    for _ in range(_ROUNDS):
        s, planned = _answered(p, s)
        looked, mass = looked or s.look is not None, mass or bool(mass_vanishing(s))
        if not _round(p, s, planned):
            break
        now = replace(record, paused=record.paused or (_MASS if mass else p.cannot_submit))
        s = with_shared(p, observe(p, now))
    if p.memory.size > _REMEMBERED:
        p.memory.forget_all_but(set(p.ledger.open_runs(p.name)))
    if p.trouble:
        raise p.trouble
    sweep(p, out=sum(job.record.state in OUT for job in s.flight))
    expire(p)
    health.succeeded(p, record, looked=looked, mass=mass)
    p.memory.quiet = Quiet.after(p, s)
    report = _report(p, s)
    # nothing new comes to a cluster that is to be left without work
    return replace(report, stage=()) if record.draining else report


def _see_others(p: Pass) -> None:
    """See to what users wish and what other clusters do."""
    mark_wished_ends(p)
    answer_for_shared(p)
    look_at_peers(p)
    end_strays(p)


def _answered(p: Pass, s: Snapshot) -> tuple[Snapshot, tuple[Action, ...]]:
    """Ask whom the plan must know of, until it can go on without questions."""
    for _ in range(_QUESTIONS):
        s, planned = plan_around(p, s)
        match planned:
            case (MakeClaims(tries=tries),):
                owners, silent = claim(p, tries)
                s = replace(s, claims={**s.claims, **owners}, silent={*s.silent, *silent})
            case _:
                return s, planned
    return plan_around(p, replace(s, look=None))


def _round(p: Pass, s: Snapshot, planned: tuple[Action, ...]) -> bool:
    """Apply; True when something changed. While nothing does, looks come later and later."""
    before = p.changed
    if s.look is not None:
        least, most = p.timings.look_seconds, p.timings.look_max_seconds
        lively = bool(planned or s.missing or s.ended)
        p.memory.pace(s.now, changed=lively, least=least, most=most)
    apply(p, planned)
    return p.changed > before


def _quiet_report(p: Pass, quiet: Quiet) -> Report:
    return Report(
        next_look=_next_look(p, quiet.out, short_of_commands=False),
        collect=tuple(p.mine(p.ledger.collectable(p.name))),
        out=quiet.out,
    )


def _report(p: Pass, s: Snapshot) -> Report:
    out = sum(job.record.state in OUT for job in s.flight)
    short = not p.cluster.budget.left() and bool(s.due) and not s.paused
    before = p.changed
    lacking = [run for run, _ in s.due if run in s.runs and _lacks_files(s.runs[run])]
    stage = (*settle_names(p, lacking), *to_stage(p))
    return Report(
        next_look=_LEAST_SECONDS
        if p.changed > before
        else _next_look(p, out, short_of_commands=short, paused=s.paused),
        stage=stage,
        collect=tuple(p.mine(p.ledger.collectable(p.name))),
        changed=p.changed,
        others=tuple(sorted(p.others)),
        out=out,
    )


def _lacks_files(view: RunView) -> bool:
    """Tell whether a run waits for its files; of one that clusters share, each brings those of its claims."""
    record = view.record
    return not record.staged and not record.targets and not view.is_unwanted


def _next_look(p: Pass, out: int, *, short_of_commands: bool, paused: bool = False) -> float | None:
    now = p.clock()
    times = [hold.until for hold in p.memory.holds.values() if hold.until > now]
    if out:
        times += [now + p.timings.tick_busy_seconds, p.memory.look_at]
    if not paused and (due := p.ledger.next_due(p.name)):
        times.append(due)
    if short_of_commands:
        times.append(now + _LEAST_SECONDS)
    return max(min(times) - now, _LEAST_SECONDS) if times else None
