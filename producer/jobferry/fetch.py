"""Fetching results when nobody waited for them, once more, or into another directory.

    fetch(client, run)                          # then wait for it, as `handle.fetch` and `jobferry fetch` do
    fetch_into(client, run, "/data/results")    # what is in the depot now

Once more: what could not be written here, or was removed here, while the cluster still has it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from jobferry.depot import Courier, is_home
from jobferry_common.depot.books import Standings
from jobferry_common.depot.ticket import Ticket
from jobferry_common.errors import Conflict
from jobferry_common.states import ResultsState

if TYPE_CHECKING:
    from jobferry.client import Client
    from jobferry_common.document import Header
    from jobferry_common.ledger.records import RunRecord
    from jobferry_common.names import RunId

_ON_THEIR_WAY: Final = frozenset({ResultsState.REMOTE, ResultsState.DEPOT})


def fetch(client: Client, run: RunId) -> None:
    """Have all results of a run brought, once more if they were brought before.

    Raises:
        Conflict: the run's files on the cluster were cleaned, or another run works where they belong, or the
            directory where they belong is not here.
    """
    record, header = client.ledger.run(run), client.ledger.header(run)
    ticket, standings = Ticket.of(header), Standings(client.ledger)
    ats = list(client.ledger.places(run)) if header.is_shared else [None]
    far = [at for at in ats if standings.of(run, at).via != "paths"]
    by_depot = ticket is not None and far
    if ticket is not None and by_depot:
        _must_be_home(header, ticket, run)
        if record.results in _ON_THEIR_WAY:
            return
    if not client.ledger.bring_again(run):
        msg = (
            f"the files of run {run} on the cluster were cleaned, so nothing is left to fetch: "
            "submit the work again to repeat it"
        )
        raise Conflict(msg)
    if by_depot:
        for at in far:
            standings.lose(run, at)
    client.hint(*record.clusters)


def fetch_into(client: Client, run: RunId, directory: str) -> RunRecord:
    """Fetch what of a run's results is in the depot now; return the run's record as it is then.

    Raises:
        Conflict: there is nothing of them in the depot.
        DepotError: the depot does not answer, or lacks something.
        StagingError: a file cannot be written.
    """
    record = client.ledger.run(run)
    standing = Standings(client.ledger).of(run)
    if record.results not in _ON_THEIR_WAY or standing.fetched == standing.parts:
        msg = f"nothing of the results of run {run} is in the depot: they are {record.results}"
        raise Conflict(msg)
    courier = Courier(client, run)
    found = courier.fetch(record, os.path.abspath(directory))  # noqa: PTH100
    return courier.attend(found)


def _must_be_home(header: Header, ticket: Ticket, run: RunId) -> None:
    """Refuse to wait for files that another machine has to fetch.

    Raises:
        Conflict: their directory is not here.
    """
    if is_home(header, ticket):
        return
    msg = (
        f"the results of run {run} belong into {header.source} of {header.owner}, which is not seen from here: "
        f"fetch them there, or into another directory: jobferry fetch {run} --into DIRECTORY"
    )
    raise Conflict(msg)
