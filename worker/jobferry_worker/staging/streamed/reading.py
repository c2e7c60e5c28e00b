"""A file's content, of which one can be sure that it is one state of the file.

    content = whole(file)                    a small one
    fingerprint = stamp(file)                equal as long as nobody touched the file

A stamp holds the time of the last change of the inode, which no program can set. Two changes within one tick of the
clock look the same, so a file that was changed a moment ago gets no stamp.
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobferry_worker.staging.streamed.sources import File

_PIECE_BYTES: Final = 1 << 20
_EDGE_BYTES: Final = 4096
#: coarser than the clock of any file system
_TICK_SECONDS: Final = 2.0
#: stands for a file that was changed too recently
NO_STAMP: Final = "-"
_DIGITS: Final = 16


def stamp(file: File) -> str:
    """Return what stays equal as long as nobody touches a file."""
    status = file.status
    if time.time() - status.st_ctime < _TICK_SECONDS:
        return NO_STAMP
    parts = (
        *(status.st_dev, status.st_ino, status.st_size, status.st_mode),
        *(status.st_mtime_ns, status.st_ctime_ns),
    )
    text = f"{file.path}\0{parts}".encode(errors="surrogateescape")
    return hashlib.sha256(text).hexdigest()[:_DIGITS]


def whole(file: File) -> bytes:
    """Return the content of a small file; its size is the one that was seen.

    Raises:
        OSError: it cannot be read, or changed meanwhile.
    """
    descriptor = os.open(file.source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = os.read(descriptor, file.size + 1)
        while len(content) < file.size and (more := os.read(descriptor, file.size - len(content))):
            content += more
        if len(content) == file.size and unchanged(descriptor, file):
            return content
    finally:
        os.close(descriptor)
    raise changed(file)


def pieces(descriptor: int, start: int, end: int) -> Iterator[bytes]:
    """Return a part of a file, piece by piece."""
    os.lseek(descriptor, start, os.SEEK_SET)
    while start < end:
        data = os.read(descriptor, min(_PIECE_BYTES, end - start))
        if not data:
            return
        start += len(data)
        yield data


def digest(file: File) -> str:
    """Return the sha256 of a file's content.

    Raises:
        OSError: it cannot be read, or changed meanwhile.
    """
    total = hashlib.sha256()
    with opened(file) as descriptor:
        for data in pieces(descriptor, 0, file.size):
            total.update(data)
        if not unchanged(descriptor, file):
            raise changed(file)
    return total.hexdigest()


def edges(file: File) -> tuple[int, bytes, bytes]:
    """Return what files of equal content have in common, at little cost."""
    with opened(file) as descriptor:
        start = os.pread(descriptor, _EDGE_BYTES, 0)
        return file.size, start, os.pread(descriptor, _EDGE_BYTES, max(file.size - _EDGE_BYTES, 0))


@contextmanager
def opened(file: File) -> Iterator[int]:
    """Open a file for reading."""
    descriptor = os.open(file.source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def unchanged(descriptor: int, file: File) -> bool:
    """Tell whether a file is as it was when it was found."""
    now, then = os.fstat(descriptor), file.status
    return (now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino) == (
        *(then.st_size, then.st_mtime_ns, then.st_ctime_ns, then.st_ino),
    )


def changed(file: File) -> OSError:
    """Return the error of a file that changes while it is sent; another try may do better."""
    return OSError(errno.EBUSY, "it changed while it was being sent", file.source)
