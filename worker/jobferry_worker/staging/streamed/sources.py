"""What there is to be sent: files of the producer's directory, directories opened up, links followed.

for one in walk("/home/alice/work", "dir1", ["in", "lib"]):
one.path      "dir1/in", "dir1/lib/a"; a directory's path ends with "/"
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobferry_common.scripts.layout import HIDDEN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_EXECUTABLE = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH


@dataclass(frozen=True, slots=True)
class File:
    """A file to be sent."""

    path: str  #: relative to the work base
    source: str  #: absolute
    status: os.stat_result

    @property
    def size(self) -> int:
        """Bytes, holes included."""
        return self.status.st_size

    @property
    def suffix(self) -> str:
        """What the cache adds to the name of a content that can be run."""
        return "x" if self.status.st_mode & _EXECUTABLE else ""

    @property
    def is_sparse(self) -> bool:
        """Tell whether it has holes worth a look."""
        return self.size > self.status.st_blocks * 512 + (1 << 20)


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory to be made."""

    path: str  #: relative to the work base


def walk(source: str, path: str, names: Iterable[str]) -> Iterator[File | Directory]:
    """Return what names in a directory of the source stand for.

    Raises:
        OSError: one is not there, is neither file nor directory, or leads in a circle.
    """
    inner = "" if path in ("", ".") else f"{path}/"
    for name in names:
        yield from _below(source, _inside(source, inner + name), frozenset())


def directory(source: str, path: str) -> Directory | None:
    """Return a task's directory, None if it is the work base itself."""
    return None if path in ("", ".") else Directory(_inside(source, path))


def _inside(source: str, path: str) -> str:
    """Refuse a name that would leave its directory, or reach into jobferry's own.

    Raises:
        OSError: it does.
    """
    tidy = os.path.normpath(path)
    if path.startswith("/") or tidy.split("/", 1)[0] in ("..", HIDDEN):
        raise OSError(errno.EINVAL, "the name leaves its directory", f"{source}/{path}")
    return tidy


def _below(source: str, path: str, above: frozenset[tuple[int, int]]) -> Iterator[File | Directory]:
    whole = f"{source}/{path}"
    status = os.stat(whole)  # noqa: PTH116 - follows links, as all contexts do
    if stat.S_ISREG(status.st_mode):
        yield File(path, whole, status)
        return
    if not stat.S_ISDIR(status.st_mode):
        raise OSError(errno.EINVAL, "it is neither a file nor a directory", whole)
    identity = (status.st_dev, status.st_ino)
    if identity in above:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), whole)
    if path != ".":
        yield Directory(path)
    inner = "" if path == "." else f"{path}/"
    for name in sorted(os.listdir(whole)):  # noqa: PTH208
        if name != HIDDEN:
            yield from _below(source, inner + name, above | {identity})
