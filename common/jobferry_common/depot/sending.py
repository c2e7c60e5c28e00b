"""Files into the depot: only what it lacks, small ones in packs.

    digest = send(depot, "holder", items)      # of the manifest

Where a pack ends is decided by the names of the files: another file, or one file fewer, changes one pack and leaves
the others as the depot has them.
"""

from __future__ import annotations

import hashlib
import os
import stat
import zlib
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final

from jobferry_common.depot.manifest import WHOLE, Entry, Manifest
from jobferry_common.depot.store import digest_of, pieces_of
from jobferry_common.errors import StagingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from jobferry_common.depot.depot import Depot
    from jobferry_common.depot.store import Store
    from jobferry_common.depot.tree import Item

#: files from this size on are objects of their own
LARGE_BYTES: Final = 64 * 1024
#: a pack ends after so many bytes …
_PACK_BYTES: Final = 4 * 1024 * 1024
#: … or behind one name among so many
_PACK_FILES: Final = 512
_MIB: Final = 1024 * 1024
_OTHER_WAYS: Final = (
    "raise depot.limit_mib on both sides, or use a depot of another kind (docs/depot.md)"
)


@dataclass(frozen=True, slots=True)
class _Object:
    """An object that is to be made: of one large file, or of small ones."""

    digest: str
    members: tuple[Item, ...]


def send(
    depot: Depot, holder: str, items: Iterable[Item], beat: Callable[[], None] = lambda: None
) -> str:
    """Put files and directories into the depot; return the digest of their manifest.

    Args:
        depot: where they go.
        holder: who needs them: they stay until it is released.
        items: what was found, in any order.
        beat: called often, between files.

    Raises:
        DepotError: the depot cannot be written, or is full.
        StagingError: a file cannot be read, changes while it is read, or is larger than the depot may ever be.
    """
    found = sorted(items, key=lambda item: item.path)
    files = [item for item in found if not item.is_directory]
    for item in files:
        if words := too_large(item, depot.store):
            raise StagingError(words)
    objects = list(_objects(files, beat))
    _must_fit(objects, depot.store)
    directories = tuple(item.path for item in found if item.is_directory)
    manifest = Manifest(files=tuple(_entries(objects)), directories=directories)
    packed = manifest.pack()
    top = digest_of(packed)
    lacking = depot.reserve(holder, {*(one.digest for one in objects), top})
    for one in objects:
        if one.digest in lacking:
            lacking.discard(one.digest)
            depot.store.put(one.digest, _contents(one.members, beat))
    if top in lacking:
        depot.store.put(top, [packed])
    return top


def too_large(item: Item, store: Store) -> str:
    """Return why a file can never be in a store, and the next step; "" if it can."""
    if store.limit is None or item.size <= store.limit:
        return ""
    return (
        f"{item.place} has {item.size / _MIB:.1f} MiB, more than the depot {store.shown} may ever hold "
        f"({store.limit / _MIB:.0f} MiB): {_OTHER_WAYS}"
    )


def _must_fit(objects: Sequence[_Object], store: Store) -> None:
    """See that all of it can be there at the same time; equal contents count once.

    Raises:
        StagingError: it cannot.
    """
    sizes = {one.digest: sum(item.size for item in one.members) for one in objects}
    if store.limit is None or (total := sum(sizes.values())) <= store.limit:
        return
    largest = max(chain.from_iterable(one.members for one in objects), key=lambda item: item.size)
    msg = (
        f"the files need {total / _MIB:.1f} MiB together (the largest is {largest.place} with "
        f"{largest.size / _MIB:.1f} MiB), more than the depot {store.shown} may ever hold "
        f"({store.limit / _MIB:.0f} MiB): {_OTHER_WAYS}"
    )
    raise StagingError(msg)


def _objects(files: Sequence[Item], beat: Callable[[], None]) -> Iterator[_Object]:
    """Read everything once, to know the digests."""
    for members in _groups(files):
        digest = hashlib.sha256()
        for piece in _contents(members, beat):
            digest.update(piece)
        yield _Object(digest.hexdigest(), members)


def _groups(files: Sequence[Item]) -> Iterator[tuple[Item, ...]]:
    """Put small files together."""
    pack: list[Item] = []
    size = 0
    for item in files:
        if item.size >= LARGE_BYTES:
            yield (item,)
            continue
        pack.append(item)
        size += item.size
        if size >= _PACK_BYTES or _ends_a_pack(item.path):
            yield tuple(pack)
            pack, size = [], 0
    if pack:
        yield tuple(pack)


def _ends_a_pack(path: str) -> bool:
    return zlib.crc32(path.encode(errors="surrogateescape")) % _PACK_FILES == 0


def _entries(objects: Iterable[_Object]) -> Iterator[Entry]:
    for one in objects:
        offset = 0
        for item in one.members:
            yield Entry(
                path=item.path,
                size=item.size,
                mode=stat.S_IMODE(item.mode),
                mtime_ns=item.mtime_ns,
                digest=one.digest,
                offset=WHOLE if item.size >= LARGE_BYTES else offset,
            )
            offset += item.size


def _contents(members: Iterable[Item], beat: Callable[[], None]) -> Iterator[bytes]:
    """Yield what is in files, one behind the other; small ones together, for the sake of round trips."""
    small: list[bytes] = []
    size = 0
    for item in members:
        for piece in _read(item):
            small.append(piece)
            size += len(piece)
            if size >= LARGE_BYTES * 8:
                yield b"".join(small)
                beat()
                small, size = [], 0
    yield b"".join(small)
    beat()


def _read(item: Item) -> Iterator[bytes]:
    """Yield a file that must not change meanwhile.

    Raises:
        StagingError: it did, or cannot be read.
    """
    try:
        with open(item.place, "rb") as file:  # noqa: PTH123 - no object for each of many files
            yield from pieces_of(file)
            after = os.fstat(file.fileno())
    except OSError as error:
        msg = f"{item.place} cannot be read: {error.strerror or error}"
        raise StagingError(msg) from error
    if (after.st_size, after.st_mtime_ns) != (item.size, item.mtime_ns):
        msg = (
            f"{item.place} changed while it was read; expected files that nobody writes to any more"
        )
        raise StagingError(msg)
