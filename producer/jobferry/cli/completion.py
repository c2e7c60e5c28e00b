"""What a shell offers after a Tab: the ids of recent runs, the names of clusters.

A completion never starts a stack and never complains: without an answer there is nothing to offer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobferry_common.errors import JobferryError

if TYPE_CHECKING:
    from jobferry.client import Client

_MANY = 100


def complete_run(incomplete: str) -> list[tuple[str, str]]:
    """Return the recent runs whose id begins so, each with its state."""
    try:
        with _client() as client:
            runs = client.ledger.runs(limit=_MANY)
    except JobferryError:
        return []
    return [(run.id, f"{run.state} {run.name}") for run in runs if run.id.startswith(incomplete)]


def complete_cluster(incomplete: str) -> list[str]:
    """Return the known clusters whose name begins so."""
    try:
        with _client() as client:
            names = {str(cluster.name) for cluster in client.ledger.clusters()}
            names.update(client.settings.clusters)
    except JobferryError:
        return []
    return sorted(name for name in names if name.startswith(incomplete))


def _client() -> Client:
    from jobferry.client import connect

    return connect(start=False)
