"""A ledger that was lost, made again by the worker of a cluster from what stands there.

for row in recover(client, "hpc1", timeout=120):
print(row.run, row.what)
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jobferry.patience import Patience
from jobferry_common.errors import NoWorker
from jobferry_common.messages import checkup_key
from jobferry_common.names import cluster_name

if TYPE_CHECKING:
    from jobferry.client import Client

_POLL_SECONDS: Final = 0.1
#: a message may be lost: it is sent again after so many seconds
_AGAIN_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What became of one run of which the cluster knows."""

    run: str
    what: str  #: what was done, or why nothing could be done
    ok: bool


def recover(client: Client, cluster: str, *, timeout: float) -> list[Found]:
    """Have a cluster's worker put back what the broker lost, and return what became of each run.

    Raises:
        NoWorker: nobody serves the cluster, or its worker does not come to it in time: it still may.
        BrokerUnreachable: the broker does not answer.
    """
    name, patience, ask = cluster_name(cluster), Patience(timeout), Patience(0)
    ticket = secrets.token_hex(4)
    client.ledger.wish_recovery(name, ticket)
    while patience.left() > 0:
        if ask.left() <= 0:
            client.hint(name)
            ask = Patience(_AGAIN_SECONDS)
        text = client.ledger.ask("GET", checkup_key(client.settings, ticket))
        if text:
            return [Found(**row) for row in json.loads(text)["runs"]]
        time.sleep(_POLL_SECONDS)
    raise NoWorker(_nobody(client, cluster, timeout))


def _nobody(client: Client, cluster: str, timeout: float) -> str:
    worker = client.worker_of(cluster)
    if worker is None:
        return (
            f"nobody serves {cluster}: start `jobferry worker --cluster {cluster}` near it; its first pass over the "
            "cluster recovers it"
        )
    return (
        f"{worker} did not come to it within {timeout:.0f} s, and will as soon as it can: `jobferry cluster list` and "
        "its log say what hinders it"
    )
