"""A cluster that was given up is back: what it still has of those runs is ended, and its directory is seen to.

    hpc2 was given up for run 3f2a9c01d5e7-1      its jobs were done elsewhere, or cancelled
    hpc2 answers again                            they are told to end, until the scheduler has none of them
    nothing of the run is left there              what lies there is fetched and removed as of any other run

Only tokens that were given up are ended: another cluster of the run may be the same scheduler under another name.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import StagingError
from jobferry_common.schedulers.base import Phase
from jobferry_worker.reconcile.killpoints import kill_here
from jobferry_worker.reconcile.listing import listed

if TYPE_CHECKING:
    from collections.abc import Collection

    from jobferry_common.names import RunId, SchedulerId, Token
    from jobferry_common.schedulers.base import Listing
    from jobferry_worker.reconcile.passes import Pass

logger: Final = logging.getLogger(__name__)


def end_strays(p: Pass) -> None:
    """End what was given up here, if there is anything; the scheduler is asked as often as for jobs that are out.

    Raises:
        SchedulerError, HostUnreachable: the cluster cannot be asked.
    """
    given_up, now, memory = p.ledger.strays(p.name), p.clock(), p.memory
    memory.strays_since = {run: memory.strays_since.get(run, now) for run in given_up}
    if not given_up or now < memory.strays_at:
        return
    memory.strays_at = now + p.timings.look_seconds
    tokens = {token for some in given_up.values() for token in some}
    told = listed(p) if tokens else None
    alive = _alive(p, told, tokens) if told else {}
    _cancel(p, sorted(alive))
    for run, own in given_up.items():
        # a submit command that ran when it was given up has surely ended by then
        settled = not own or now - memory.strays_since[run] > p.patience.settle
        if settled and not any(token in own for token in alive.values()):
            _see_to_the_rest(p, run)


def _alive(p: Pass, told: Listing, tokens: Collection[Token]) -> dict[SchedulerId, Token]:
    """Return the jobs that bear one of the tokens and have not ended; all of an array are one."""
    bearers = {id_: token for token in tokens for id_ in told.tokens.get(token, ())}
    keys = [key for key, seen in told.jobs.items() if seen.phase is not Phase.ENDED]
    live = {p.cluster.scheduler.split(key)[0] for key in (*keys, *told.unreadable)}
    return {id_: token for id_, token in bearers.items() if id_ in live}


def _cancel(p: Pass, ids: list[SchedulerId]) -> None:
    if not ids:
        return
    p.command(p.cluster.scheduler.cancel(ids))
    kill_here("after-strays")
    logger.warning("%s were given up, and are ended: %s.", p.name, " ".join(ids))


def _see_to_the_rest(p: Pass, run: RunId) -> None:
    p.lease.keep()
    if not p.ledger.come_back(run, p.name):
        _remove(p, run)
    p.changed += 1
    logger.info("%s has nothing of %s any more.", p.name, run, extra={"action": "came-back"})


def _remove(p: Pass, run: RunId) -> None:
    """Remove the directory of a run that the ledger does not know; of one in place there is none."""
    try:
        p.cluster.host.remove_tree(f"{p.cluster.root}/{run}")
    except StagingError as error:
        logger.warning("%s", error, extra={"action": "strays"})
        return
    p.ledger.forget_strays(run, p.name)
