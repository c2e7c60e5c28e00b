"""Runs that ended long ago leave the ledger by themselves: never before their results are back.

What their policy left on the cluster stays there; what jobferry noted of them goes.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from jobferry_common.scripts.layout import traces
from jobferry_common.scripts.traces import CANCEL

if TYPE_CHECKING:
    from jobferry_worker.reconcile.passes import Pass

logger: Final = logging.getLogger(__name__)

#: between two looks at what is old
_SECONDS: Final = 600.0
_DAY: Final = 86400.0


def expire(p: Pass) -> None:
    """Forget what is old, once in a while."""
    now, days = p.clock(), p.settings.keep_days
    if not days or 0 <= now - p.memory.expired < min(_SECONDS, days * _DAY):
        return
    p.memory.expired = now
    runs = p.mine(p.ledger.expired(p.name, before=now - days * _DAY))
    if runs:
        where = traces(p.cluster.root, p.name)
        p.remove([f"{where}/{run}{mark}" for run in runs for mark in ("", CANCEL)])
    for run in runs:
        p.lease.keep()
        p.ledger.forget(run)
        logger.info("Run %s expired.", run, extra={"action": "expire"})
    p.ledger.forget_old_numbers()
