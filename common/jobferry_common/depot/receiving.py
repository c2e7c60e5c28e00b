"""Files out of the depot: what a manifest lists, object by object.

    for entry, data in small_files(depot, manifest.files): ...
    for digest, entries in large_files(manifest.files): ...       # then depot.store.get(digest)

A pack is fetched once for all of its files.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from jobferry_common.depot.manifest import WHOLE
from jobferry_common.errors import DepotError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jobferry_common.depot.depot import Depot
    from jobferry_common.depot.manifest import Entry


def small_files(depot: Depot, entries: Iterable[Entry]) -> Iterator[tuple[Entry, bytes]]:
    """Yield small files with their content.

    Raises:
        DepotError: an object is not there, or not what it should be.
    """
    packs = _by_object(entry for entry in entries if entry.offset != WHOLE)
    for digest, members in packs.items():
        pack = depot.read(digest)
        for entry in members:
            data = pack[entry.offset : entry.offset + entry.size]
            if len(data) != entry.size:
                msg = f"a manifest in {depot.store.shown} says more of {entry.path!r} than is there"
                raise DepotError(msg)
            yield entry, data


def large_files(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Return objects that are one file each, with the paths where it belongs."""
    return _by_object(entry for entry in entries if entry.offset == WHOLE)


def _by_object(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        found[entry.digest].append(entry)
    return found
