"""The copies that a producer keeps of what it handed over, to present them again to a broker that lost them.

    <state directory>/documents/<broker>/<run>      header and pages, each after its length in four bytes

A copy goes when its run was cleaned, or when it is older than 90 days.
"""

from __future__ import annotations

import hashlib
import logging
import struct
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from platformdirs.unix import Unix

from jobferry_common.broker_url import BrokerUrl
from jobferry_common.document import Document
from jobferry_common.ledger.pages import unpack_header, unpack_page

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from jobferry_common.names import RunId
    from jobferry_common.settings import Settings

_log = logging.getLogger(__name__)
_LENGTH: Final = struct.Struct(">I")
_LONGEST_SECONDS: Final = 90 * 86400


class Kept:
    """The copies for one broker."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @classmethod
    def of(cls, settings: Settings) -> Kept:
        """Return the copies for the broker that the settings name."""
        state = settings.stack.directory or Unix("jobferry").user_state_path
        shown = BrokerUrl.parse(settings.broker or "").shown
        broker = hashlib.sha256(f"{shown} {settings.prefix}".encode()).hexdigest()[:12]
        return cls(state / "documents" / broker)

    def save(self, documents: Iterable[tuple[RunId, Sequence[bytes]]]) -> None:
        """Keep a copy of each, given as the ledger packed it; a machine that cannot keep any goes without."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            for run, pieces in documents:
                (self.directory / run).write_bytes(b"".join(_sized(pieces)))
        except OSError as error:
            _log.warning(
                "No copy of what was submitted is kept here: %s", error, extra={"action": "keep"}
            )

    def load(self, run: RunId) -> Document | None:
        """Return the copy of a run's document; None if there is none that is whole."""
        try:
            pieces = list(_cut((self.directory / run).read_bytes()))
            header = unpack_header(pieces[0])
            tasks = [task for piece in pieces[1:] for task in unpack_page(piece)]
        except (OSError, IndexError, ValueError, KeyError, struct.error, zlib.error):
            return None
        return Document(header=header, tasks=tuple(tasks)) if len(tasks) == header.tasks else None

    def forget(self, run: RunId) -> None:
        """Remove the copy of a run, if there is one that can be removed."""
        with suppress(OSError):
            (self.directory / run).unlink()

    def forget_old(self, now: float | None = None) -> None:
        """Remove the copies that nobody will ask for any more."""
        limit = (time.time() if now is None else now) - _LONGEST_SECONDS
        if self.directory.is_dir():
            for path in self.directory.iterdir():
                if path.stat().st_mtime < limit:
                    path.unlink(missing_ok=True)


def _sized(pieces: Iterable[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        yield _LENGTH.pack(len(piece))
        yield piece


def _cut(data: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        (length,) = _LENGTH.unpack_from(data, start)
        start += _LENGTH.size
        yield data[start : start + length]
        start += length
