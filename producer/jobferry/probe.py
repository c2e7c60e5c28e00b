"""The test of a cluster, as its user sees it: each step of the whole path, and what is wrong in which.

    for step in probe(client, "hpc1"):
        print(step.ok, step.name, step.what)

The steps near the cluster are taken by its worker, which leaves what it finds at the broker.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from jobferry.patience import Patience
from jobferry_common.errors import Unreachable
from jobferry_common.messages import TEST_CLUSTER, checkup_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobferry.client import Client

_POLL_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of the path."""

    name: str  #: "broker", "worker", "scheduler" …
    ok: bool
    what: str  #: what was found, or what is wrong
    reached: bool = True  #: False where it is wrong because nobody there answers

    @property
    def exit_code(self) -> int:
        """What a command that ends with this step exits with."""
        return 0 if self.ok else 1 if self.reached else Unreachable.exit_code


def probe(client: Client, cluster: str, *, timeout: float) -> Iterator[Step]:
    """Yield each step as it is taken; the last one is not ok if something is wrong.

    Raises:
        BrokerUnreachable: not even the broker answers.
    """
    yield Step(name="broker", ok=True, what=f"{client.shown} holds ledger {client.ledger.id}")
    worker = client.worker_of(cluster)
    if worker is None:
        what = f"nobody serves {cluster}: start `jobferry worker --cluster {cluster}` near it"
        yield Step(name="worker", ok=False, what=what, reached=False)
        return
    yield Step(name="worker", ok=True, what=f"{worker} serves it")
    yield from _near_the_cluster(client, cluster, worker, Patience(timeout))


def _near_the_cluster(
    client: Client, cluster: str, worker: str, patience: Patience
) -> Iterator[Step]:
    """Ask the worker, then yield its steps as they appear at the broker."""
    ticket, seen, done = secrets.token_hex(4), 0, False
    client.send(TEST_CLUSTER, cluster, ticket)
    while not done:
        if patience.left() <= 0:
            what = f"{worker} did not go on in time: its log tells more, or it has much else to do"
            yield Step(name="worker", ok=False, what=what, reached=False)
            return
        found = _found(client, ticket)
        steps, done = found.get("steps", []), bool(found.get("done"))
        yield from (Step(**step) for step in steps[seen:])
        seen = len(steps)
        time.sleep(0 if done else _POLL_SECONDS)


def _found(client: Client, ticket: str) -> dict[str, Any]:
    text = client.ledger.ask("GET", checkup_key(client.settings, ticket))
    return dict(json.loads(text)) if text else {}
