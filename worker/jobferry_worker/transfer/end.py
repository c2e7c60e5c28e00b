"""The end of a run's files: common results, the delivery, and the cluster's directory removed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from jobferry_common.killpoints import kill_here
from jobferry_common.states import ResultsState, RunState
from jobferry_worker.reconcile.root import see_root, share_root
from jobferry_worker.transfer import tracing
from jobferry_worker.transfer.claimed import files_of, is_over, results_at
from jobferry_worker.transfer.common import collect_common
from jobferry_worker.transfer.holding import held
from jobferry_worker.transfer.move import Move, keep_back, note_lacking, say_lack
from jobferry_worker.transfer.resuming import is_back

if TYPE_CHECKING:
    from jobferry_common.ledger import Ledger
    from jobferry_common.ledger.records import RunRecord
    from jobferry_common.names import ClusterName, RunId
    from jobferry_common.settings import Settings
    from jobferry_worker.cluster import Cluster
    from jobferry_worker.staging.base import Lacking

logger: Final = logging.getLogger(__name__)


def deliver(move: Move) -> None:
    """Make the end of a run known, then clean."""
    record = move.record()
    if results_at(move.ledger, move.run, move.at) is ResultsState.REMOTE:
        _bring_common(move, record)
        say_lack(move.ledger, move.run)
        kill_here("after-common")
        if move.way.is_the_producers_turn():
            return
        move.note_results(ResultsState.DELIVERED)
        kill_here("after-delivered")
        logger.info("The results of %s are delivered.", move.run, extra={"action": "delivered"})
        record = move.record()
    if results_at(move.ledger, move.run, move.at) is ResultsState.DELIVERED:
        if _is_to_be_cleaned(move, record):
            _remove(move)
        else:
            tracing.over(move)
    move.ledger.collected(move.run, (), at=move.at)


def clean(ledger: Ledger, cluster: Cluster, settings: Settings, run: RunId) -> None:
    """Remove a run's directory on the cluster, because the user wants it; nothing happens while it runs.

    Raises:
        StagingError: it cannot be removed.
    """
    del settings
    with held(ledger, files_of(ledger, cluster, run)) as renew:
        if renew is None:
            return
        move = Move(ledger, cluster, run, renew)
        if is_over(move.ledger, move.record(), move.at):
            _remove(move)


def _bring_common(move: Move, record: RunRecord) -> None:
    has_any = move.header.backward_common and not move.header.in_place
    later = move.ledger.displaced_by(move.run) or move.ledger.ended_later(move.run)
    if has_any and later:
        keep_back(move, "all tasks together", later)
        return
    lacking = collect_common(move)
    finished = record.state is RunState.FINISHED
    note_lacking(
        move, [one for one in lacking if one.why or (finished and not _is_older(record, move, one))]
    )


def _is_older(record: RunRecord, move: Move, lacking: Lacking) -> bool:
    """Tell whether tasks that were taken over left a common result: it is at the producer, not in this run."""
    unseen = not move.way.sees_home
    return bool(record.taken_over) and (unseen or is_back(move.header, lacking.path, lacking.name))


def _is_to_be_cleaned(move: Move, record: RunRecord) -> bool:
    """Tell what the policy says; a run that lacks a result is kept for the user to look at."""
    if move.ledger.lack(move.run):
        return False
    policy = move.header.policy.clean
    return policy == "always" or (policy == "on_success" and record.state is RunState.FINISHED)


def _remove(move: Move) -> None:
    move.renew()  # whoever was stopped for long leaves it to those who fetch from there by now
    see_root(move.ledger, move.cluster)
    tracing.gone(move)
    needed = _is_needed(move)
    if needed:
        move.way.leave()
        logger.info("%s has files of %s, too.", needed, move.run, extra={"action": "left"})
    else:
        move.staging.clean(move.layout)
        kill_here("after-removed")
    move.note_results(ResultsState.CLEANED)
    kill_here("after-cleaned")
    if needed and not _is_needed(move):  # it came to its end just now, and left them to us
        move.staging.clean(move.layout)
    logger.info("The directory of %s is removed.", move.run, extra={"action": "cleaned"})


def _is_needed(move: Move) -> ClusterName | None:
    """Return another cluster with the same root, and so the same directory of the run, that is not through with it."""
    if move.at is None:
        return None
    over = {ResultsState.DELIVERED.value, ResultsState.CLEANED.value}
    return next(
        (
            name
            for name, state in move.ledger.places(move.run).items()
            if name != move.at and state not in over and share_root(move.ledger, move.at, name)
        ),
        None,
    )
