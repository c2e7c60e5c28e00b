"""The ledger as one object, composed of its parts.

    ledger = Ledger(connect("redis://localhost:6379/0"))

Each part is a module: `accepting` takes submissions (`recovering` puts lost ones back), `specs` reads them back, `runs`
and `jobs` hold their states, `flight` what may go and what is out, `sharing` what several clusters share (`abandoning`:
and what one of them lost), `findings` what came of it, `leases` who may act, `clusters` what everybody may know.
Every method may raise `BrokerUnreachable`.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

from jobferry_common.ledger.abandoning import AbandonPart
from jobferry_common.ledger.clusters import ClustersPart
from jobferry_common.ledger.expiring import ExpirePart
from jobferry_common.ledger.leases import LeasesPart
from jobferry_common.ledger.recovering import RecoverPart
from jobferry_common.ledger.setting_aside import AsidePart
from jobferry_common.ledger.specs import new_memory
from jobferry_common.ledger.untouched import UntouchedPart

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis


class Ledger(
    RecoverPart, AbandonPart, ClustersPart, LeasesPart, AsidePart, ExpirePart, UntouchedPart
):
    """All state of jobferry. Threads may share one."""

    def __init__(
        self,
        redis: Redis,
        prefix: str = "jobferry:",
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(redis, prefix, clock=clock)
        self._recent = new_memory()
        self._habits = None

    @property
    def id(self) -> str:
        """The ledger's own id, made once: it names the spool on the clusters."""
        key = self.key("id")
        self.ask("SET", key, secrets.token_hex(6), "NX")
        return str(self.ask("GET", key))
