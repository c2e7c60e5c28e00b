"""A run may be cancelled although its cluster cannot be reached: what was never submitted needs nobody there."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import UnknownId
from jobferry_worker.reconcile.apply import apply
from jobferry_worker.reconcile.ends import ends_of
from jobferry_worker.reconcile.passes import UnreadableRun
from jobferry_worker.reconcile.snapshot import RunView

if TYPE_CHECKING:
    from jobferry_common.names import RunId
    from jobferry_worker.reconcile.passes import Pass

logger: Final = logging.getLogger(__name__)


def cancel_unsubmitted(p: Pass) -> None:
    """Cancel the pending jobs of the runs that somebody wants cancelled, and end those of which nothing is out.

    Raises:
        LeaseLost: somebody else holds the cluster.
    """
    if p.ledger.remembered(p.cluster.lease) not in (None, p.lease.fence.broker):
        return  # the broker may have forgotten that they were submitted
    for run in p.mine(p.ledger.cancel_wishes(p.name)):
        if p.ledger.doubt_of(p.name, run) is not None:
            continue
        try:
            _cancel(p, run)
        except (UnknownId, UnreadableRun) as error:
            logger.warning("%s", error, extra={"action": "cancel"})


def _cancel(p: Pass, run: RunId) -> None:
    for _ in ("its jobs", "then the run"):
        apply(p, ends_of(run, RunView(record=p.ledger.run(run), header=p.header(run))))
