"""A depot: a store, and the books in the ledger that say who needs what in it.

depot = open_depot(settings.depot, ledger)
depot.reserve("holder", digests)      # those that are to be put
depot.tidy()                          # removes what nobody needs any more
"""

from __future__ import annotations

import socket
import time
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from jobferry_common import secrets
from jobferry_common.depot.books import Books
from jobferry_common.depot.folder import Folder
from jobferry_common.depot.in_broker import InBroker
from jobferry_common.depot.manifest import Manifest
from jobferry_common.depot.settings import BROKER, FOLDER
from jobferry_common.depot.store import told
from jobferry_common.errors import (
    BadInput,
    DamagedObject,
    DepotError,
    HostUnreachable,
    NotInDepot,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from jobferry_common.depot.settings import DepotSettings
    from jobferry_common.depot.store import Store
    from jobferry_common.depot.ticket import Ticket
    from jobferry_common.ledger.store import Store as Ledger

_MIB: Final = 1024 * 1024
_PAUSE_SECONDS: Final = 0.1
#: between two looks at every holder there is, for runs that the ledger knows no more
_SWEEP_SECONDS: Final = 3600.0
#: an object that is being removed is waited for; who removes it is dead after some minutes at the latest
_PATIENCE_SECONDS: Final = 150.0


class Depot:
    """Objects, and who needs them. Threads may share one."""

    def __init__(self, store: Store, ledger: Ledger) -> None:
        self.store = store
        self.id = store.id()
        self.books = Books(ledger, self.id)
        self.books.meet(socket.gethostname(), store.shown)
        self._swept = time.monotonic()

    def succeeds(self, depot: str) -> bool:
        """Tell whether it is a depot of another id, or was made in its place: then it lacks what was there."""
        here = (socket.gethostname(), self.store.shown)
        return depot == self.id or self.books.was_met(*here, depot)

    def reserve(self, holder: str, digests: Collection[str]) -> set[str]:
        """Note that a holder needs objects; return those that the store lacks.

        Raises:
            DepotError: the store cannot be asked.
        """
        busy = self.books.hold(holder, digests)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while busy and time.monotonic() < deadline:
            time.sleep(_PAUSE_SECONDS)
            busy = self.books.busy(busy)
        return set(digests) - self.store.has(digests)

    def get(self, digest: str) -> Iterator[bytes]:
        """Yield an object, which is right if it comes to its end; one that is damaged is removed.

        Raises:
            NotInDepot: it is not there, or was damaged: it has to be put again.
            DepotError: the store cannot be read.
        """
        try:
            yield from self.store.get(digest)
        except DamagedObject as error:
            self.store.remove([digest])
            msg = f"{error}: it was removed"
            raise NotInDepot(msg) from None

    def read(self, digest: str) -> bytes:
        """Return a manifest or a pack; raises what `get` does."""
        return b"".join(self.get(digest))

    def manifest(self, digest: str) -> Manifest:
        """Return a manifest.

        Raises:
            DepotError: it is not there, or cannot be read.
        """
        return Manifest.unpack(self.read(digest))

    def tidy(self) -> None:
        """Remove what nobody needs any more.

        Raises:
            DepotError: the store cannot be written.
        """
        self.books.release_void()
        if time.monotonic() - self._swept > _SWEEP_SECONDS:
            self._swept = time.monotonic()
            self.books.release_gone()
        for digests in self.books.garbage():
            self.store.remove(digests)


def open_depot(settings: DepotSettings, ledger: Ledger) -> Depot | None:
    """Return the depot that the settings name; None where they name none.

    Raises:
        DepotError: it does not answer.
        BadInput: a secret that the settings refer to cannot be had.
    """
    if settings.url is None:
        return None
    key = (settings.model_dump_json(), id(ledger.redis), ledger.prefix)
    with _guard:
        if key not in _open:
            _open[key] = Depot(_store(settings, settings.url, ledger), ledger)
        return _open[key]


def the_depot(settings: DepotSettings, ledger: Ledger, ticket: Ticket) -> Depot:
    """Return the depot through which the files of a submission travel.

    Raises:
        DepotError: it does not answer, or the settings name none, or another one, or a secret that is not there.
    """
    try:
        found = open_depot(settings, ledger)
    except BadInput as error:  # of this side's settings, not of the submission
        msg = f"the depot {settings.shown} cannot be opened: {error}"
        raise DepotError(msg) from error
    if found is not None and not found.succeeds(ticket.depot):
        forget_depots()  # the broker may have lost its memory, and a depot in it its id
        found = open_depot(settings, ledger)
    if found is None or not found.succeeds(ticket.depot):
        here = f"another one, {settings.shown}, is set" if found else "none is set"
        msg = (
            f"these files travel through the depot {ticket.shown} of their producer, and here {here}: "
            "expected [depot] url in config.toml to lead there"
        )
        if found and settings.shown == ticket.shown:
            msg += f"; if it was made anew there, have its file `id` say {ticket.depot} instead of {found.id}"
        raise DepotError(msg)
    return found


def forget_depots() -> None:
    """Close what is open: a connection may be broken."""
    with _guard:
        _open.clear()


def _store(settings: DepotSettings, url: str, ledger: Ledger) -> Store:
    if url == BROKER:
        return InBroker(ledger, settings.limit_mib * _MIB)
    parts = urlsplit(url)
    if parts.scheme == FOLDER:
        return Folder(Path(unquote(parts.path)))
    return _remote(settings, url)


def _remote(settings: DepotSettings, url: str) -> Store:
    from jobferry_common.depot.remote import Remote

    options = {
        name: secrets.read(value, f"depot.options.{name}") if isinstance(value, str) else value
        for name, value in settings.options.items()
    }
    with told(settings.shown, "be opened"):
        filesystem, path = _filesystem(settings, url, options)
    return Remote(filesystem, path, settings.shown)


def _filesystem(settings: DepotSettings, url: str, options: dict[str, Any]) -> tuple[Any, str]:
    import fsspec

    from jobferry_common.depot.sftp import SftpFiles

    if urlsplit(url).scheme in SftpFiles.protocol:
        try:
            # its secrets are read where they are needed, as those of a cluster are
            files = SftpFiles.at(url, settings.options)
        except HostUnreachable as error:
            msg = f"the depot {settings.shown} cannot be opened: {error}"
            raise DepotError(msg) from None
        return files, SftpFiles._strip_protocol(url)  # noqa: SLF001 - what fsspec itself calls
    own = {"skip_instance_cache": True, **options}
    filesystem, path = fsspec.core.url_to_fs(url, use_listings_cache=False, **own)
    return filesystem, str(path)


_guard: Final = Lock()
_open: Final[dict[tuple[str, int, str], Depot]] = {}
