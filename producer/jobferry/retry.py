"""Retrying a run: a new run of the same document, which takes over the tasks that finished."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobferry.handle import Handle
from jobferry_common.document import Document
from jobferry_common.errors import Conflict
from jobferry_common.states import RunState

if TYPE_CHECKING:
    from jobferry.client import Client
    from jobferry_common.names import RunId


def retry(client: Client, run: RunId) -> Handle:
    """Run again what a run left unfinished.

    Raises:
        Conflict: it is in flight, or nothing of it is unfinished.
    """
    record = client.ledger.run(run)
    if not record.state.is_final:
        msg = f"run {run} is in flight ({record.state}): end it first with: jobferry cancel {run}"
        raise Conflict(msg)
    if record.state is RunState.FINISHED:
        msg = (
            f"run {run} finished: nothing of it is left; submit the work again to repeat all of it"
        )
        raise Conflict(msg)
    later = client.ledger.ended_later(run)
    if later is not None and client.ledger.run(later).state is RunState.FINISHED:
        msg = f"run {later} finished what run {run} left; submit the work again to repeat all of it"
        raise Conflict(msg)
    return Handle.on(client, client.accept(_document(client, run)))


def _document(client: Client, run: RunId) -> Document:
    """Return the document that a run carries out, as the ledger holds it."""
    tasks = [task for page in client.ledger.task_pages(run) for _, task in page]
    return Document(header=client.ledger.header(run), tasks=tasks)
