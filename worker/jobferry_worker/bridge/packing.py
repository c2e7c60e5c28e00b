"""Archives of a bridge: a job's files on their way out, and its results on their way back.

    digest = pack(job, Path("in.tgz"))
    end = unpack(job, Path("result"), Path("work"))       # the script's exit code

What comes back was made by a job, so it is not trusted: its checksum has to be right, no member leaves the run's
directory, and of jobferry's own files only records, marks and logs are taken. Files take their places by rename, the
records last: who sees a record sees all of its results.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import stat
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import StagingError
from jobferry_common.scripts.cargo import Cargo
from jobferry_common.scripts.layout import HIDDEN
from jobferry_worker.staging.fetching import room_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobferry_worker.bridge.books import Job

_PIECE: Final = 1 << 20
_GREETING: Final = "jobferry-result"
#: of jobferry's own files, what a job may bring back
_OURS: Final = ("done", "logs", "records")
_EXIT: Final = "exit"


def cargo_of(job: Job) -> Cargo:
    """Return what a job takes along; its script alone where nothing says more.

    Raises:
        OSError, UnreadableOutput: it cannot be read.
    """
    path = Path(job.script).with_suffix(".cargo")
    if path.exists():
        return Cargo.unpack(path.read_bytes())
    return Cargo(files=(os.path.relpath(job.script, job.directory),))


def pack(job: Job, archive: Path) -> str:
    """Write a job's archive; return its SHA-256.

    Raises:
        OSError: a file cannot be read, or lacks.
    """
    cargo = cargo_of(job)
    base = Path(job.directory)
    with tarfile.open(archive, "w:gz", compresslevel=1, format=tarfile.GNU_FORMAT) as tar:
        for name in (*cargo.files, *(mark for mark in cargo.marks if (base / mark).exists())):
            _add(tar, base, name)
        for name in cargo.trees:
            (base / name).mkdir(parents=True, exist_ok=True)
            _add(tar, base, name)
    with archive.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _add(tar: tarfile.TarFile, base: Path, name: str, above: frozenset[str] = frozenset()) -> None:
    """Add a file, or a directory with all in it; links become what they lead to, save one to nothing."""
    path = base / name
    try:
        status = path.stat()
    except FileNotFoundError:
        if not path.is_symlink():
            raise
        return
    if stat.S_ISREG(status.st_mode):
        member = tarfile.TarInfo(str(PurePosixPath(name)))
        member.size, member.mode, member.mtime = (
            status.st_size,
            status.st_mode,
            int(status.st_mtime),
        )
        with path.open("rb") as file:
            tar.addfile(member, file)
    elif stat.S_ISDIR(status.st_mode) and (real := os.path.realpath(path)) not in above:
        member = tarfile.TarInfo(str(PurePosixPath(name)))
        member.type, member.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(member)
        for child in sorted(os.listdir(path)):  # noqa: PTH208
            if child != HIDDEN:
                _add(tar, base, f"{name}/{child}", above | {real})


def unpack(job: Job, result: Path, work: Path) -> int:
    """Bring what a job delivered into the run's directory; return its script's exit code.

    Raises:
        StagingError: it is damaged, or no delivery at all.
        OSError: a file cannot be written.
    """
    archive, place = work / "verified", work / "unpacked"
    _verify(result, archive)
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                _extract(tar, member, place)
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        msg = f"the results of {job.id} cannot be unpacked: {error}"
        raise StagingError(msg) from error
    code = int((place / _EXIT).read_text())
    control = cargo_of(job).control
    files = [(path, _allowed(path, control)) for path in _below(place / Path(job.directory).name)]
    for path in sorted((path for path, fine in files if fine), key=lambda one: _rank(one, control)):
        _move(place / Path(job.directory).name, path, job.directory)
    return code


def _verify(result: Path, archive: Path) -> None:
    """Take the first line off, and compare the rest with it."""
    digest = hashlib.sha256()
    with result.open("rb") as file, archive.open("wb") as out:
        greeting, _, wanted = file.readline(200).decode("ascii", "replace").strip().partition(" ")
        while piece := file.read(_PIECE):
            digest.update(piece)
            out.write(piece)
    if greeting != _GREETING or digest.hexdigest() != wanted:
        msg = f"{result.name}: what was delivered is cut short or damaged"
        raise StagingError(msg)


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
    """Extract a file, a directory or a link that stays inside; anything else is left out, and missed by name later."""
    try:
        tar.extract(member, place, filter="data")
    except tarfile.FilterError:
        return


def _below(place: Path) -> Iterator[str]:
    for directory, directories, names in os.walk(place):
        inner = os.path.relpath(directory, place)
        linked = [name for name in directories if Path(directory, name).is_symlink()]
        empty = [] if directories or names or inner == "." else [inner]
        yield from empty
        for name in (*names, *linked):
            yield os.path.normpath(os.path.join(inner, name))  # noqa: PTH118


def _allowed(path: str, control: str) -> bool:
    parts = PurePosixPath(path).parts
    if HIDDEN not in parts:
        return True
    return any(path.startswith(f"{control}/{name}/") for name in _OURS) if control else False


def _rank(path: str, control: str) -> tuple[int, str]:
    ours = bool(control) and path.startswith(f"{control}/")
    return (2 if path.startswith(f"{control}/records/") and ours else int(ours)), path


def _move(source: Path, name: str, base: str) -> None:
    """Rename a file into its place; a directory that a link leads out of is never written to."""
    room_for(base, name)
    target = Path(base, name)
    if (source / name).is_dir() and not (source / name).is_symlink():
        target.mkdir(exist_ok=True)
        return
    (source / name).replace(target)
