"""Fetching results once more: what could not be written here, or was removed here, while the cluster still has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobferry_common.errors import Conflict

if TYPE_CHECKING:
    from jobferry.client import Client
    from jobferry_common.names import RunId


def fetch(client: Client, run: RunId) -> None:
    """Have the worker bring all results of a run once more.

    Raises:
        Conflict: the run's files on the cluster were cleaned, or another run works where they belong.
    """
    if not client.ledger.bring_again(run):
        msg = (
            f"the files of run {run} on the cluster were cleaned, so nothing is left to fetch: "
            "submit the work again to repeat it"
        )
        raise Conflict(msg)
    client.hint(client.ledger.run(run).cluster)
