"""What a header says of the depot, and how a worker proves that it sees the producer's own directory.

    ticket = Ticket(depot=…, shown="file:///shared/depot", nonce=new_nonce(), place=place_of(source))
    mark(source, ticket.nonce)         # the producer: a file with the nonce in it
    sees(source, ticket.nonce)         # the worker: True only if it is the very same directory

A path proves nothing: two machines may have different directories of one name.
"""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jobferry_common.scripts.layout import HIDDEN

if TYPE_CHECKING:
    from jobferry_common.document import Header


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """How the files of a submission travel; it holds no secret."""

    depot: str  #: id of the depot
    shown: str  #: its address as the producer has it, for messages
    nonce: str  #: names the marker in the producer's directory, and who holds the inputs
    place: str  #: the file system of the producer's directory
    inputs: str = ""  #: digest of their manifest; empty while they were not brought

    def dump(self) -> dict[str, str]:
        """Return it as a header has it."""
        return asdict(self)

    @classmethod
    def of(cls, header: Header) -> Ticket | None:
        """Return the ticket of a header; None where there is none."""
        return None if header.depot is None else cls(**header.depot)

    def holder(self, part: int) -> str:
        """Return who holds a part of the results."""
        return f"{self.nonce}.{part}"

    def holders(self, parts: int) -> list[str]:
        """Return who holds the inputs, so many parts, and the one that may be on its way."""
        return [self.nonce, *(self.holder(part) for part in range(parts + 1))]


def new_nonce() -> str:
    """Return what nobody else has."""
    return secrets.token_hex(16)


def marks_of(source: str) -> Path:
    """Return the directory of the markers."""
    return Path(source, HIDDEN, "depot")


def mark(source: str, nonce: str) -> bool:
    """Leave the marker in the producer's directory; False where nothing can be written."""
    path = marks_of(source) / nonce
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.write_text(nonce, "ascii")
    except OSError:
        return False
    return True


def sees(source: str, nonce: str) -> bool:
    """Tell whether the marker is there."""
    try:
        handle = os.open(marks_of(source) / nonce, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    with os.fdopen(handle, "rb") as file:
        return file.read(len(nonce) + 1) == nonce.encode()


def unmark(source: str, nonce: str) -> None:
    """Remove the marker, and the directories that it alone needed."""
    path = marks_of(source) / nonce
    with suppress(OSError):
        path.unlink(missing_ok=True)
        path.parent.rmdir()
        path.parent.parent.rmdir()


def place_of(source: str) -> str:
    """Return what a file system is known by: whoever sees one directory of it probably sees all of them."""
    device = Path(source).stat().st_dev
    mount = Path(source)
    while mount.parent != mount and mount.parent.stat().st_dev == device:
        mount = mount.parent
    return f"{socket.gethostname()}:{mount}:{device}"
