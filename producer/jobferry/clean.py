"""Cleaning a run: first its files on the cluster, which its worker removes, then all that the ledger knows of it.

Nothing is removed before the results are on the producer's side, unless it is forced.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from jobferry.depot import forget as forget_files
from jobferry.patience import Patience
from jobferry_common.errors import Conflict, NoWorker
from jobferry_common.ledger.sharing import GIVEN_UP
from jobferry_common.messages import CLEAN, hindered_key
from jobferry_common.states import ResultsState

if TYPE_CHECKING:
    from jobferry.client import Client
    from jobferry.handle import Handle
    from jobferry_common.ledger.records import RunRecord
    from jobferry_common.names import RunId

_log = logging.getLogger(__name__)

#: seconds until a worker counts as away
PATIENCE_SECONDS: Final = 60.0
#: a message may be lost: it is sent again after so many seconds
_AGAIN_SECONDS: Final = 5.0
#: between two looks whether it cannot be done
_LOOK_SECONDS: Final = 1.0


def clean(
    client: Client, run: RunId, *, force: bool = False, patience: float = PATIENCE_SECONDS
) -> None:
    """Remove a run's files on its cluster, then what the ledger and this machine know of it.

    Args:
        client: the way to the broker.
        run: its id.
        force: cancel it if it is in flight; give up results that were never fetched; forget it even if no
            worker removes its files.
        patience: seconds to wait for the worker.

    Raises:
        Conflict: it is in flight, or its results were never fetched, and `force` is False.
        NoWorker: nobody removed its files, or the worker cannot, and `force` is False.
    """
    record = client.ledger.run(run)
    if not force:
        _check(record)
    if not record.state.is_final:
        _end(client.handle(run), patience)
    try:
        _remove_files(client.handle(run), patience)
    except NoWorker as error:
        if not force:
            raise
        _log.warning("%s It is forgotten all the same.", error, extra={"action": "clean"})
    client.ledger.forget(run)
    forget_files(client)
    client.kept.forget(run)
    client.kept.forget_old()


def _check(record: RunRecord) -> None:
    if not record.state.is_final:
        msg = (
            f"run {record.id} is in flight ({record.state}): wait for it, or end it with: "
            f"jobferry cancel {record.id}; --force does both at once"
        )
        raise Conflict(msg)
    if record.results is ResultsState.DEPOT:
        msg = (
            f"the results of run {record.id} are in the depot: fetch them with: "
            f"jobferry fetch {record.id}; --force gives them up"
        )
        raise Conflict(msg)
    if record.results is ResultsState.REMOTE:
        msg = (
            f"the results of run {record.id} were not fetched so far: wait for them with: "
            f"jobferry watch {record.id}; --force gives them up"
        )
        raise Conflict(msg)


def _end(handle: Handle, patience: float) -> None:
    handle.cancel()
    try:
        for record, _ in handle.follow(timeout=patience):
            if record.state.is_final:
                return
    except TimeoutError:
        msg = (
            f"run {handle.id} did not end within {patience:.0f} s: is the worker of "
            f"{', '.join(handle.status().clusters)} alive? See: jobferry cluster list"
        )
        raise Conflict(msg) from None


def _remove_files(handle: Handle, patience: float) -> None:
    """Ask the worker for it until it was done."""
    client, deadline, ask = handle.client, Patience(patience), Patience(0)
    cursor = client.end(handle.id)
    _forget_hindrances(handle)
    while names := _uncleaned(client, handle.status()):
        if why := _hindrance(handle, names):
            raise NoWorker(why)
        if deadline.left() <= 0:
            raise NoWorker(_nobody(client, handle.id, names))
        if ask.left() <= 0:
            for name in names:
                client.send(CLEAN, name, handle.id)
            ask = Patience(_AGAIN_SECONDS)
        news = client.events(handle.id, cursor, deadline.at_most(_LOOK_SECONDS))
        cursor = news[-1].cursor if news else cursor


def _uncleaned(client: Client, record: RunRecord) -> list[str]:
    """Return the clusters that have files of a run."""
    if not record.targets:
        return [] if record.results is ResultsState.CLEANED else [record.cluster]
    done = (ResultsState.CLEANED.value, GIVEN_UP)
    return [name for name, at in client.ledger.places(record.id).items() if at not in done]


def _forget_hindrances(handle: Handle) -> None:
    """What hindered an earlier try may be mended."""
    client = handle.client
    client.redis.delete(*(_hindered(handle, name) for name in handle.status().clusters))


def _hindrance(handle: Handle, names: list[str]) -> str:
    """Return what keeps a worker from removing the files now, and what to do; empty while nothing is known."""
    for name in names:
        if why := handle.client.redis.get(_hindered(handle, name)):
            return (
                f"the files of run {handle.id} are still on {name}, and its worker cannot remove them now: {why!s}. "
                "Clean again once that is mended; --force only forgets the run."
            )
    return ""


def _hindered(handle: Handle, name: str) -> str:
    mark = f"{handle.id}@{name}" if handle.status().targets else str(handle.id)
    return hindered_key(handle.client.settings, CLEAN, mark)


def _nobody(client: Client, run: RunId, names: list[str]) -> str:
    known = {str(record.name): record.halt for record in client.ledger.clusters()}
    told = " or ".join(f"{name} ({known[name]})" if known.get(name) else name for name in names)
    return (
        f"no worker of {told} removed the files of run {run}: see `jobferry cluster list`, "
        "start its worker, then clean again; --force only forgets the run."
    )
