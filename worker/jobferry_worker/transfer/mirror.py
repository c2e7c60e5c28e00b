"""A producer's directory as the worker has it when it does not see the real one.

    <home>/objects/3f/3f2a9c…       large files, for every run that has them; read-only
    <home>/<run>/files/…            the mirror: what the submission names, and then its results
    <home>/<run>/known              what of it the producer has: a line for the inputs, then one for each part
    <home>/<run>/filled             all inputs are there
    <home>/<run>@<cluster>/…        the same where clusters share the run
    <home>/<run>@<cluster>/brought  the inputs that are there so far

Everything that is not as `known` says is a result. A file of the mirror is a hard link to the cache only where nobody
writes through it, see `Mirror.fill`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jobferry_common.depot.receiving import large_files, small_files
from jobferry_common.depot.store import pieces_of
from jobferry_common.depot.tree import Item, item_of
from jobferry_common.scripts.layout import HIDDEN
from jobferry_worker.staging.base import told
from jobferry_worker.staging.local import remove_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from jobferry_common.depot.depot import Depot
    from jobferry_common.depot.manifest import Entry, Manifest
    from jobferry_common.names import ClusterName, RunId

    #: size, time and inode: while they stay, the content does
    Signature = tuple[int, int, int]

_READ_ONLY: Final = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
_DAY_SECONDS: Final = 86400.0
#: what a copy is called while it is not complete: see `staging.copying.part_of`
_PART: Final = (".jobferry-", ".part")


class Mirror:
    """The mirror of one run."""

    def __init__(self, home: Path, run: RunId, at: ClusterName | None = None) -> None:
        self._home = home
        self._run = home / (run if at is None else f"{run}@{at}")
        self.files = self._run / "files"
        self._filled = self._run / "filled"
        self._known_file = self._run / "known"
        self._brought_file = self._run / "brought"
        self._known: dict[str, Signature] | None = None
        self._made: set[str] = set()

    @property
    def is_filled(self) -> bool:
        """True once all inputs are there."""
        return self._filled.exists()

    def make(self) -> None:
        """Make the mirror's directory, if it is not there."""
        with told("make", str(self.files)):
            self.files.mkdir(parents=True, exist_ok=True)

    def fill(
        self, depot: Depot, manifest: Manifest, beat: Callable[[], None], *, linked: bool
    ) -> None:
        """Bring what a manifest lists.

        Args:
            depot: where it is.
            manifest: the inputs.
            beat: called often.
            linked: large files may be hard links to the cache, because jobs get copies: a job that appends to its
                input through a link would poison it for every run.

        Raises:
            DepotError: the depot cannot be read, or lacks something.
            StagingError: a file cannot be written.
        """
        with told("write", str(self.files)):
            self.make()
            self._known_file.unlink(missing_ok=True)
            self._write(depot, manifest, beat, linked=linked)
            self._note(self._all_there(["."]))
            self._filled.touch()

    def fill_some(
        self,
        depot: Depot,
        manifest: Manifest,
        named: Collection[str],
        beat: Callable[[], None],
        *,
        linked: bool,
    ) -> None:
        """Bring what of a manifest has certain names, or lies below them, unless it was brought; see `fill`.

        What was brought is left alone: jobs may read it, or have changed it, which is a result.
        """
        with told("write", str(self.files)):
            self.make()
            known = self._remembered()
            files = [
                one
                for one in manifest.files
                if _is_named(one.path, named)
                and not (one.path in known and os.path.exists(f"{self.files}/{one.path}"))  # noqa: PTH110
            ]
            places = {
                path for path in manifest.directories if _is_named(path, named)
            } - known.keys()
            if not files and not places:
                return
            part = replace(manifest, files=tuple(files), directories=tuple(sorted(places)))
            self._write(depot, part, beat, linked=linked)
            above = {above for one in files for above in _above(one.path)}
            there = sorted({one.path for one in files} | places | above)
            self._note((self._looked_at(path) for path in there), self._brought_file)

    def news(self, paths: Iterable[str]) -> list[Item]:
        """Return what the producer does not have, below some directories."""
        known = self._remembered()
        with told("read", str(self.files)):
            return [
                item for item in self._all_there(paths) if known.get(item.path) != _signature(item)
            ]

    def sent(self, items: Iterable[Item]) -> None:
        """Note that the producer has these, or will have."""
        with told("write", str(self._known_file)):
            self._note(items)

    def forget_sent(self) -> None:
        """Have all results sent again: the producer did not get them."""
        with told("write", str(self._known_file)):
            inputs = self._known_file.read_text("ascii").split("\n")[:2] if self.is_filled else []
            self._known_file.write_text("\n".join(inputs), "ascii")
        self._known = None

    def remove(self, cache_days: float) -> None:
        """Remove the mirror, and of the cache what was not used for long."""
        remove_tree(str(self._run))
        limit = time.time() - cache_days * _DAY_SECONDS
        for path in self._home.glob("objects/*/*"):
            with suppress(OSError):
                if path.stat().st_atime <= limit:
                    path.unlink()

    def _write(
        self, depot: Depot, manifest: Manifest, beat: Callable[[], None], *, linked: bool
    ) -> None:
        for path in manifest.directories:
            (self.files / path).mkdir(parents=True, exist_ok=True)
        for entry, data in small_files(depot, manifest.files):
            _write(self._place(entry), data, entry)
            beat()
        for digest, entries in large_files(manifest.files).items():
            cached = self._cached(depot, digest, beat)
            for entry in entries:
                target = Path(self._place(entry))
                target.unlink(missing_ok=True)
                _put(cached, target, entry, linked=linked)
                beat()

    def _looked_at(self, path: str) -> Item:
        place = f"{self.files}/{path}"
        return item_of(path, place, os.stat(place))  # noqa: PTH116 - no object for each of many files

    def _all_there(self, paths: Iterable[str]) -> Iterator[Item]:
        """Yield every file and directory below some directories; links to directories are not followed."""
        seen: set[str] = set()
        todo = [os.path.normpath(path) for path in paths]
        while todo:
            path = todo.pop()
            if path in seen:
                continue
            seen.add(path)
            for item in _entries(f"{self.files}/{path}", "" if path == "." else f"{path}/"):
                yield item
                if item.is_directory:
                    todo.append(item.path)

    def _place(self, entry: Entry) -> str:
        """Return where a file belongs; its directory is there."""
        parent = os.path.dirname(entry.path)  # noqa: PTH120
        if parent not in self._made:
            os.makedirs(f"{self.files}/{parent}", exist_ok=True)  # noqa: PTH103
            self._made.add(parent)
        return f"{self.files}/{entry.path}"

    def _cached(self, depot: Depot, digest: str, beat: Callable[[], None]) -> Path:
        """Return a large file of the cache, fetched unless it is there and right."""
        path = self._home / "objects" / digest[:2] / digest
        if path.exists() and _is_right(path, digest, beat):
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        part = self._run / f"{digest}.part"
        with part.open("wb") as file:
            for chunk in depot.get(digest):
                file.write(chunk)
                beat()
        part.chmod(_READ_ONLY)
        part.replace(path)
        return path

    def _note(self, items: Iterable[Item], where: Path | None = None) -> None:
        known = {item.path: _signature(item) for item in items}
        where = where or self._known_file
        where.parent.mkdir(parents=True, exist_ok=True)
        with where.open("a", encoding="ascii") as file:
            file.write(f"\n{json.dumps(known)}")  # a line that a kill cut short spoils no other
        if self._known is not None:
            self._known |= known

    def _remembered(self) -> dict[str, Signature]:
        if self._known is None:
            self._known = {}
            lines: list[str] = []
            for path in (self._brought_file, self._known_file):
                with suppress(FileNotFoundError):
                    lines += path.read_text("ascii").splitlines()
            for line in lines:
                with suppress(ValueError):  # cut short by a kill: those are sent again
                    self._known |= {path: tuple(value) for path, value in json.loads(line).items()}
        return self._known


def _above(path: str) -> Iterator[str]:
    """Yield the directories that a path lies in."""
    while path := os.path.dirname(path):  # noqa: PTH120
        yield path


def _is_named(path: str, named: Collection[str]) -> bool:
    return "." in named or path in named or any(one in named for one in _above(path))


def _entries(place: str, prefix: str) -> Iterator[Item]:
    """Yield what is in a directory."""
    try:
        with os.scandir(place) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.name == HIDDEN or (
            entry.name.startswith(_PART[0]) and entry.name.endswith(_PART[1])
        ):
            continue
        try:
            status = entry.stat()
        except OSError:  # a link to nothing
            continue
        is_directory = stat.S_ISDIR(status.st_mode)
        if stat.S_ISREG(status.st_mode) or (is_directory and not entry.is_symlink()):
            yield item_of(f"{prefix}{entry.name}", entry.path, status)


def _signature(item: Item) -> Signature:
    return (0, 0, 0) if item.is_directory else (item.size, item.mtime_ns, item.inode)


def _is_right(path: Path, digest: str, beat: Callable[[], None]) -> bool:
    """Tell whether a cached file still is what its name says: something may have written through a link to it."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        for piece in pieces_of(file):
            found.update(piece)
            beat()
    return found.hexdigest() == digest


def _write(target: str, data: bytes, entry: Entry) -> None:
    """Write a small file; what an earlier try left there is removed, not written through."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        handle = os.open(target, flags, entry.mode)
    except FileExistsError:
        os.unlink(target)  # noqa: PTH108
        handle = os.open(target, flags, entry.mode)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fchmod(handle, entry.mode)
        os.utime(handle, ns=(entry.mtime_ns, entry.mtime_ns))


def _put(cached: Path, target: Path, entry: Entry, *, linked: bool) -> None:
    """Link or copy a file of the cache; the links of a file share its time and permissions."""
    status = cached.stat()
    dressed = (stat.S_IMODE(status.st_mode), status.st_mtime_ns) == (entry.mode, entry.mtime_ns)
    if linked and (dressed or status.st_nlink == 1):
        with suppress(OSError):  # a file system without links
            os.link(cached, target)
            if not dressed:
                _dressed(target, entry)
            return
    _copied(cached, target)
    _dressed(target, entry)


def _copied(source: Path, target: Path) -> None:
    """Copy a file; the kernel shares its blocks where the file system can."""
    with source.open("rb") as origin, target.open("wb") as copy:
        left = os.fstat(origin.fileno()).st_size
        try:
            while left:
                done = os.copy_file_range(origin.fileno(), copy.fileno(), left)
                if not done:
                    break
                left -= done
        except OSError:
            origin.seek(0)
            copy.seek(0)
            shutil.copyfileobj(origin, copy)


def _dressed(target: Path, entry: Entry) -> None:
    """Give a file the permissions and the time it has at the producer."""
    target.chmod(entry.mode)
    os.utime(target, ns=(entry.mtime_ns, entry.mtime_ns))
