"""The files that tasks read: globs resolved, existence checked, contents digested.

    inputs = Inputs()
    found = inputs.read("/data/run1", ("in", "lib/*.dat"))
    found.names      ('in', 'lib/a.dat')
    found.faults     ()

Built for a hundred thousand small files: each costs an open, a stat and a read.
"""

from __future__ import annotations

import difflib
import errno
import hashlib
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jobferry_common import globbing
from jobferry_common.models.paths import able_to_travel, inside
from jobferry_common.scripts.layout import HIDDEN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    #: device, inode, time and size: while they stay, the content does
    Identity = tuple[int, int, int, int]

_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe must not make us wait
_PIECE_BYTES: Final = 1 << 20
#: files from this size on are not read again while their identity stays
_REMEMBERED_BYTES: Final = 1 << 14
_MAX_REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True)
class Fault:
    """A name that cannot be used, and why."""

    name: str
    what: str


@dataclass(frozen=True, slots=True)
class Found:
    """What patterns stand for."""

    names: tuple[str, ...]
    digests: tuple[str, ...]  #: of each name
    faults: tuple[Fault, ...] = ()


class Inputs:
    """Reads inputs; remembers the digests of large files."""

    def __init__(self) -> None:
        self._known: dict[Identity, str] = {}

    def read(self, directory: str, patterns: Iterable[str]) -> Found:
        """Return the files that patterns stand for, below a directory, each once."""
        digests: dict[str, str] = {}
        faults: list[Fault] = []
        for pattern in patterns:
            try:
                digests.update(self._one(directory, inside(pattern)))
            except (OSError, ValueError) as error:
                faults.append(Fault(pattern, _reason(error, directory, pattern)))
        return Found(tuple(digests), tuple(digests.values()), tuple(faults))

    def _one(self, directory: str, pattern: str) -> Iterator[tuple[str, str]]:
        """Return name and digest of all that a pattern stands for.

        Raises:
            OSError: nothing is there, or it cannot be read.
            ValueError: a name that was found cannot be used.
        """
        if pattern == ".":
            return iter(
                [(name, self.digest(f"{directory}/{name}")) for name in _visible(directory)]
            )
        try:
            return iter([(pattern, self.digest(f"{directory}/{pattern}"))])
        except FileNotFoundError:
            if not globbing.is_pattern(pattern):
                raise
        return iter(self._matching(directory, pattern))

    def _matching(self, directory: str, pattern: str) -> list[tuple[str, str]]:
        names = globbing.expanded(directory, pattern)
        if not names:
            msg = "fits no file"
            raise FileNotFoundError(errno.ENOENT, msg)
        for name in names:
            able_to_travel(name)
        return [(name, self.digest(f"{directory}/{name}")) for name in names]

    def digest(self, path: str) -> str:
        """Return the digest of a file's content, or of all that is in a directory.

        Raises:
            OSError: it cannot be read.
            ValueError: it is neither a file nor a directory.
        """
        handle = os.open(path, _FLAGS)
        try:
            status = os.fstat(handle)
            if stat.S_ISREG(status.st_mode):
                return self._content(handle, status)
        finally:
            os.close(handle)
        if stat.S_ISDIR(status.st_mode):
            return self._tree(path)
        msg = "is neither a file nor a directory"
        raise ValueError(msg)

    def _content(self, handle: int, status: os.stat_result) -> str:
        if status.st_size < _REMEMBERED_BYTES:
            return _hash(handle)
        identity = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
        if identity not in self._known:
            if len(self._known) >= _MAX_REMEMBERED:
                self._known.clear()
            self._known[identity] = _hash(handle)
        return self._known[identity]

    def _tree(self, path: str) -> str:
        digest = hashlib.sha256()
        for name, content in self._inside(path, "", frozenset()):
            digest.update(f"{name}\0{content}\0".encode(errors="surrogateescape"))
        return digest.hexdigest()

    def _inside(
        self, path: str, prefix: str, above: frozenset[tuple[int, int]]
    ) -> Iterator[tuple[str, str]]:
        """Return name and digest of each file in a directory; links are followed, but not in circles."""
        status = os.stat(path)  # noqa: PTH116 - no object for each of many files
        identity = (status.st_dev, status.st_ino)
        if identity in above:
            msg = f"{path!r} is a link that leads in a circle"
            raise ValueError(msg)
        yield prefix, ""
        with os.scandir(path) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            if entry.name == HIDDEN:
                continue
            if entry.is_dir():
                yield from self._inside(entry.path, f"{prefix}{entry.name}/", above | {identity})
            else:
                yield prefix + entry.name, self._member(entry.path)

    def _member(self, path: str) -> str:
        """Return the digest of what lies in a directory; a fault names it, not the directory."""
        try:
            return self.digest(path)
        except FileNotFoundError:
            msg = f"{path!r} is a link to what is not there"
        except OSError as error:
            msg = f"{path!r} cannot be read: {error.strerror}"
        except ValueError as error:
            msg = f"{path!r} {error}"
        raise ValueError(msg) from None


def _hash(handle: int) -> str:
    digest = hashlib.sha256()
    while piece := os.read(handle, _PIECE_BYTES):
        digest.update(piece)
    return digest.hexdigest()


def _visible(directory: str) -> list[str]:
    names = sorted(name for name in os.listdir(directory) if name != HIDDEN)  # noqa: PTH208
    for name in names:
        able_to_travel(name)
    return names


def _reason(error: OSError | ValueError, directory: str, pattern: str) -> str:
    if isinstance(error, ValueError):
        return str(error)
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        if not os.path.isdir(directory):  # noqa: PTH112
            return f"there is no directory {directory!r}"
        path = os.path.join(directory, pattern)  # noqa: PTH118
        if os.path.islink(path):  # noqa: PTH114
            return f"is a link to {os.readlink(path)!r}, which is not there"  # noqa: PTH115
        words = "fits no file" if globbing.is_pattern(pattern) else "there is no such file"
        return f"{words} in {directory!r}{near_name(directory, pattern)}"
    return f"cannot be read: {error.strerror}"


def near_name(directory: str, name: str) -> str:
    """Return a hint at what may have been meant: never the name itself, which may be there but of another kind."""
    parent, base = os.path.split(os.path.join(directory, name))  # noqa: PTH118
    try:
        names = [there for there in os.listdir(parent) if there != base]  # noqa: PTH208
    except OSError:
        return ""
    near = difflib.get_close_matches(base, names, n=1)
    if not near:
        return ""
    meant = os.path.join(os.path.dirname(name), near[0])  # noqa: PTH118, PTH120
    return f"; did you mean {meant!r}?"
