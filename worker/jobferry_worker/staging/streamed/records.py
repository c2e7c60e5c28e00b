"""Records of the stream that `coming.sh` reads: a line, and the bytes that it announces."""

from __future__ import annotations

import errno
import hashlib
import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from jobferry_worker.staging.streamed import archive, reading
from jobferry_worker.staging.streamed.squeezing import PLAIN, SQUEEZED

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from jobferry_worker.staging.streamed.sources import File
    from jobferry_worker.staging.streamed.squeezing import Squeezing

_BLOCK_BYTES: Final = 4 << 20
#: a file in more pieces is sent as if it had no holes
_MOST_EXTENTS: Final = 1000
_ZEROS: Final = bytes(1 << 20)
_READABLE: Final = 0o444
_RUNNABLE: Final = 0o555


def record(verb: str, content: bytes, squeezing: Squeezing, *words: str) -> Iterator[bytes]:
    """Return a record whose content is at hand."""
    flag, wire = squeezing.of(content)
    yield " ".join((verb, str(len(wire)), flag, *words)).encode() + b"\n"
    yield wire


def pack(directories: Iterable[str], contents: Iterable[tuple[File, bytes]]) -> bytes:
    """Return the archive of a group's directories and small files."""
    members = [archive.directory(path) for path in directories]
    for file, content in contents:
        status = file.status
        name = os.fsencode(file.path)
        mode, mtime = status.st_mode & 0o777, int(status.st_mtime)
        header = archive.header(name, size=len(content), mode=mode, mtime=mtime)
        members += (header, content, archive.padding(content))
    return b"".join((*members, archive.END))


def object_members(file: File, name: str) -> tuple[bytes, bytes]:
    """Return the member of an archive that brings a small object.

    Raises:
        OSError: the file is not any more what it was.
    """
    content = reading.whole(file)
    digest = hashlib.sha256(content).hexdigest()
    if name != name_of(file, digest):
        raise reading.changed(file)
    mode, mtime = _mode(file), int(file.status.st_mtime)
    header = archive.header(name.encode(), size=len(content), mode=mode, mtime=mtime)
    return header, archive.padded(content)


def name_of(file: File, digest: str) -> str:
    """Return the name of a file's content in the cache."""
    return f"{file.size}/{digest}{file.suffix}"


def _mode(file: File) -> int:
    return _RUNNABLE if file.suffix else _READABLE


def large(file: File, squeezing: Squeezing) -> Generator[bytes, None, str]:
    """Return the record of a large file, which is read once; return its digest at the end.

    Raises:
        OSError: it cannot be read, or changed meanwhile.
    """
    with reading.opened(file) as descriptor:
        extents = _extents(descriptor, file.size) if file.is_sparse else []
        flag = "sparse" if extents else _flag(descriptor, squeezing)
        words = (file.size, f"{_mode(file):o}", int(file.status.st_mtime), flag)
        yield f"object {words[0]} {words[1]} {words[2]} {words[3]}\n".encode()
        total = hashlib.sha256()
        if extents:
            yield from _pieces(descriptor, extents, total)
        else:
            chunks = _hashed(reading.pieces(descriptor, 0, file.size), total)
            yield from _blocks(squeezing.stream(chunks)) if flag == SQUEEZED else chunks
        if not reading.unchanged(descriptor, file):
            raise reading.changed(file)
    yield f"{total.hexdigest()}\n".encode()
    return total.hexdigest()


def _flag(descriptor: int, squeezing: Squeezing) -> str:
    return SQUEEZED if squeezing.pays(os.pread(descriptor, 1 << 16, 0)) else PLAIN


def _hashed(chunks: Iterable[bytes], total: hashlib._Hash) -> Iterator[bytes]:
    """Add chunks up beside their being sent."""
    with ThreadPoolExecutor(1) as beside:
        adding: Future[None] | None = None
        for chunk in chunks:
            if adding:
                adding.result()
            adding = beside.submit(total.update, chunk)
            yield chunk
        if adding:
            adding.result()


def _blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Announce the length of each block; a block of none is the last."""
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size >= _BLOCK_BYTES:
            yield f"{size}\n".encode()
            yield from held
            held, size = [], 0
    if size:
        yield f"{size}\n".encode()
        yield from held
    yield b"0\n"


def _extents(descriptor: int, size: int) -> list[tuple[int, int]]:
    """Return where a file has data: start and end; [] if holes are not worth it."""
    found: list[tuple[int, int]] = []
    start = 0
    while start < size and len(found) <= _MOST_EXTENTS:
        try:
            start = os.lseek(descriptor, start, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # a hole up to the end
                break
            return []
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        found.append((start, end))
        start = end
    return found if len(found) <= _MOST_EXTENTS else []


def _pieces(
    descriptor: int, extents: Iterable[tuple[int, int]], total: hashlib._Hash
) -> Iterator[bytes]:
    """Return what is in a file beside its holes."""
    at = 0
    for start, end in extents:
        _zeros(total, start - at)
        at = end
        yield f"{start} {end - start}\n".encode()
        yield from _hashed(reading.pieces(descriptor, start, end), total)
    size = os.fstat(descriptor).st_size
    _zeros(total, size - at)
    yield b"0 0\n"


def _zeros(total: hashlib._Hash, number: int) -> None:
    while number > 0:
        total.update(_ZEROS[:number])
        number -= len(_ZEROS)
