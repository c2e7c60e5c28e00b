"""The files that go into the depot: those a submission names, with links resolved.

    for item in Tree("/data/run1").named("a", ("in", "lib")):
        print(item.path, item.size)

As in the Local context, links are followed, jobferry's own directory is left out, and a directory brings all
that is in it, empty directories too.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobferry_common.errors import StagingError
from jobferry_common.scripts.layout import HIDDEN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A file, or a directory, as it was found."""

    path: str  #: relative to the tree
    place: str  #: absolute
    size: int
    mode: int  #: with its kind
    mtime_ns: int
    inode: int = 0

    @property
    def is_directory(self) -> bool:
        """True for a directory."""
        return stat.S_ISDIR(self.mode)


class Tree:
    """The files below one directory; each is found once."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._seen: set[str] = set()

    def named(self, path: str, names: Iterable[str]) -> Iterator[Item]:
        """Yield what names below a directory of the tree stand for.

        Raises:
            StagingError: it is not there, or it is neither file nor directory, or a link leads in a circle.
        """
        for name in names:
            yield from self._found(os.path.normpath(os.path.join(path, name)), frozenset())  # noqa: PTH118

    def _found(self, path: str, above: frozenset[tuple[int, int]]) -> Iterator[Item]:
        if path in self._seen:
            return
        self._seen.add(path)
        item, identity = self._looked_at(path)
        if path != ".":
            yield item
        if item.is_directory:
            if identity in above:
                msg = f"{item.place} is a link that leads in a circle"
                raise StagingError(msg)
            for name in sorted(os.listdir(item.place)):  # noqa: PTH208
                if name != HIDDEN:
                    inner = name if path == "." else f"{path}/{name}"
                    yield from self._found(inner, above | {identity})

    def _looked_at(self, path: str) -> tuple[Item, tuple[int, int]]:
        place = f"{self._root}/{path}"
        try:
            status = os.stat(place)  # noqa: PTH116 - no object for each of many files
        except OSError as error:
            msg = f"{place} cannot be read: {error.strerror}"
            raise StagingError(msg) from error
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            msg = f"{place} is neither a file nor a directory"
            raise StagingError(msg)
        return item_of(path, place, status), (status.st_dev, status.st_ino)


def item_of(path: str, place: str, status: os.stat_result) -> Item:
    """Return what a look showed."""
    return Item(
        path=path,
        place=place,
        size=status.st_size,
        mode=status.st_mode,
        mtime_ns=status.st_mtime_ns,
        inode=status.st_ino,
    )
