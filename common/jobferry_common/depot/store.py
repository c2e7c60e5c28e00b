"""The interface of a store, and how its content is verified.

    store.put(digest, chunks)          # nobody sees half of it
    b"".join(store.get(digest))        # raises when it is not what the digest says

Every method raises `DepotError`, with the store's name and the next step.
"""

from __future__ import annotations

import errno
import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from jobferry_common.errors import DamagedObject, DepotError, DepotFull, JobferryError, NotInDepot

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from typing import BinaryIO

CHUNK_BYTES: Final = 512 * 1024
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_ABSENT: Final = frozenset({errno.ENOENT, errno.ENOTDIR})


class Store(Protocol):
    """Where objects lie."""

    shown: str  #: its address for messages, without a secret
    limit: int | None  #: bytes that it may ever hold; None: as much as there is room for

    def id(self) -> str:
        """Return the store's own id, made by who asks first: two addresses may lead to the same store."""
        ...

    def has(self, digests: Collection[str]) -> set[str]:
        """Return those of the objects that are there, each whole."""
        ...

    def put(self, digest: str, chunks: Iterable[bytes]) -> None:
        """Write an object; nothing of it is there unless all of it is."""
        ...

    def get(self, digest: str) -> Iterator[bytes]:
        """Yield an object; the last chunk only after all of it was found to be right."""
        ...

    def remove(self, digests: Collection[str]) -> None:
        """Remove objects; those that are not there are no fault."""
        ...


def digest_of(data: bytes) -> str:
    """Return the name of an object."""
    return hashlib.sha256(data).hexdigest()


def pieces_of(file: BinaryIO) -> Iterator[bytes]:
    """Yield what is in a file from here on, a chunk at a time."""
    while piece := file.read(CHUNK_BYTES):
        yield piece


def checked(digest: str, chunks: Iterable[bytes], where: str) -> Iterator[bytes]:
    """Yield chunks one late, so that nobody has all of an object that is not what its digest says.

    Raises:
        DamagedObject: its content is another.
    """
    found = hashlib.sha256()
    last = b""
    for chunk in chunks:
        found.update(chunk)
        if last:
            yield last
        last = chunk
    if found.hexdigest() != digest:
        msg = f"{where}: object {digest[:12]} holds something else than its name says"
        raise DamagedObject(msg)
    yield last


@contextmanager
def told(shown: str, what: str, digest: str = "") -> Iterator[None]:
    """Turn whatever a store raises into a `DepotError` that names the store and the next step."""
    try:
        yield
    except JobferryError:
        raise
    except OSError as error:
        raise _meaning(shown, what, digest, error) from None
    except Exception as error:  # noqa: BLE001 - each file system of fsspec has errors of its own
        msg = f"the depot {shown} cannot {what}: {type(error).__name__}: {error}"
        raise DepotError(msg) from None


def _meaning(shown: str, what: str, digest: str, error: OSError) -> JobferryError:
    if error.errno in _NO_ROOM:
        return DepotFull(
            f"the depot {shown} is full ({error.strerror}): fetch results with `jobferry fetch ID`, or free some "
            "space there"
        )
    if digest and error.errno in _ABSENT:
        return not_there(shown, digest)
    return DepotError(f"the depot {shown} cannot {what}: {error.strerror or error}")


def not_there(shown: str, digest: str) -> NotInDepot:
    """Return the error for an object that a store lacks."""
    return NotInDepot(f"the depot {shown} lacks object {digest[:12]}")
