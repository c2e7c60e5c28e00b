"""Results that come out of the depot into the producer's directory, as if producer and worker shared it.

    home = Arrivals("/home/alice/work", {"task1", "task2"}, set(), nonce)
    with home.alone():
        home.take(depot, manifest)

A file is written under a name for the time being in `.jobferry/depot`, then renamed: nobody sees half of it, and what
was there before stays until then. What is there already is left alone. A link that leads out of the directory is never
written through, except that a task's own directory may be such a link.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from jobferry_common.depot.receiving import large_files, small_files
from jobferry_common.depot.store import pieces_of
from jobferry_common.depot.ticket import marks_of
from jobferry_common.errors import StagingError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from jobferry_common.depot.depot import Depot
    from jobferry_common.depot.manifest import Entry, Manifest

_PARTS: Final = ".parts"


class Arrivals:
    """One run's results on their way into one directory."""

    def __init__(
        self, source: str, roots: Collection[str], later: Collection[str], nonce: str
    ) -> None:
        self._source = source
        #: the tasks' directories
        self._roots = roots
        #: those of them for which a later run has the results
        self._later = later
        self._scratch: Path = marks_of(source) / f"{nonce}{_PARTS}"
        self._known: set[str] = set()

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Yield True while no other process fetches this run; what a killed one left is removed."""
        lock = self._scratch.with_suffix(".lock")
        with _told("write", str(lock)):
            lock.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            if not _locked(handle) or not _is(lock, handle):
                yield False
                return
            self._clear()
            self._scratch.mkdir()
            yield True
            self._clear()
            lock.unlink(missing_ok=True)
            with suppress(OSError):  # the marker, or other files of jobferry, are in it
                lock.parent.rmdir()
                lock.parent.parent.rmdir()
        finally:
            os.close(handle)

    def take(self, depot: Depot, manifest: Manifest) -> None:
        """Fetch all that a manifest lists, unless it is here.

        Raises:
            DepotError: the depot cannot be read, or lacks something.
            StagingError: a file cannot be written, or would be written outside of the directory.
        """
        for path in manifest.directories:
            if self._root_of(path) not in self._later:
                self._directory(path)
        files = [one for one in manifest.files if self._root_of(one.path) not in self._later]
        for entry, data in small_files(depot, files):
            if not self._holds(entry, data):
                self._place(self._written(entry, data), entry)
        for digest, entries in large_files(files).items():
            self._large(depot, digest, [one for one in entries if not self._is_here(one)])

    def _large(self, depot: Depot, digest: str, entries: list[Entry]) -> None:
        """Fetch an object once, whatever the number of files that it is."""
        if not entries:
            return
        first = self._scratch / digest
        with _told("write", self._target(entries[0])), first.open("wb") as file:
            for chunk in depot.get(digest):
                file.write(chunk)
        for number, entry in enumerate(entries[1:]):
            copy = self._scratch / f"{digest}.{number}"
            with _told("write", self._target(entry)):
                shutil.copyfile(first, copy)
            self._place(copy, entry)
        self._place(first, entries[0])

    def _written(self, entry: Entry, data: bytes) -> Path:
        part = self._scratch / "small"
        with _told("write", self._target(entry)):
            part.write_bytes(data)
        return part

    def _place(self, part: Path, entry: Entry) -> None:
        """Give a whole file its name, time and permissions."""
        target = self._target(entry)
        self._directory(os.path.dirname(entry.path))  # noqa: PTH120
        with _told("write", target):
            os.utime(part, ns=(entry.mtime_ns, entry.mtime_ns))
            part.chmod(entry.mode)
            try:
                part.replace(target)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                self._over(part, target)

    def _over(self, part: Path, target: str) -> None:
        """Give a file its name on another file system than the rest of the directory."""
        digest = hashlib.sha256(target.encode(errors="surrogateescape")).hexdigest()[:16]
        beside = f"{os.path.dirname(target)}/.jobferry-{digest}.part"  # noqa: PTH120
        shutil.copy2(part, beside)
        os.replace(beside, target)  # noqa: PTH105
        part.unlink()

    def _holds(self, entry: Entry, data: bytes) -> bool:
        try:
            with open(self._target(entry), "rb") as file:  # noqa: PTH123
                return file.read(len(data) + 1) == data
        except OSError:
            return False

    def _is_here(self, entry: Entry) -> bool:
        """Tell whether a large file is here already: an earlier fetch may have been cut short."""
        digest = hashlib.sha256()
        try:
            with open(self._target(entry), "rb") as file:  # noqa: PTH123
                if os.fstat(file.fileno()).st_size != entry.size:
                    return False
                for piece in pieces_of(file):
                    digest.update(piece)
        except OSError:
            return False
        return digest.hexdigest() == entry.digest

    def _directory(self, path: str) -> None:
        """Make a directory, unless a link leads it out of where it belongs.

        Raises:
            StagingError: it does.
        """
        if path in self._known:
            return
        root = self._root_of(path)
        home, whole = f"{self._source}/{root}", f"{self._source}/{path}"
        with _told("make", whole):
            os.makedirs(home, exist_ok=True)  # noqa: PTH103
            real, limit = os.path.realpath(whole), os.path.realpath(home)
            if real != limit and not real.startswith(f"{limit.rstrip('/')}/"):
                msg = f"{whole} leads to {real}, out of {limit}; nothing is written there: remove that link"
                raise StagingError(msg)
            os.makedirs(whole, exist_ok=True)  # noqa: PTH103
        self._known.add(path)

    def _root_of(self, path: str) -> str:
        """Return the directory of the task that a path belongs to."""
        while path and path not in self._roots:
            path = os.path.dirname(path)  # noqa: PTH120
        return path

    def _target(self, entry: Entry) -> str:
        return f"{self._source}/{entry.path}"

    def _clear(self) -> None:
        with _told("remove", str(self._scratch)):
            if self._scratch.exists():
                shutil.rmtree(self._scratch)


def _is(lock: Path, handle: int) -> bool:
    """Tell whether a file still has its name: who had the lock before may have removed it."""
    try:
        return os.path.samestat(lock.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP):  # a file system without locks
            raise
    return True


@contextmanager
def _told(what: str, path: str) -> Iterator[None]:
    """Turn an `OSError` into a `StagingError` that names the path and the next step."""
    try:
        yield
    except OSError as error:
        msg = (
            f"cannot {what} {path}: {error.strerror or error}. What came back so far stays; the rest waits in the "
            "depot: mend it, then `jobferry fetch ID`"
        )
        raise StagingError(msg) from error
