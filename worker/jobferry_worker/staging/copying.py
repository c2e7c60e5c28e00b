"""Single files: copied or linked under a name for the time being, then renamed. Nobody sees half of one."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from contextlib import suppress
from typing import Final

_PIECE_BYTES: Final = 1 << 20


def same_content(source: str, target: str) -> bool:
    """Tell whether a target is the source itself, or its copy: `copy_file` keeps the time."""
    try:
        there = os.lstat(target)
    except FileNotFoundError:
        return False
    here = os.stat(source)  # noqa: PTH116
    if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino):
        return True
    if not stat.S_ISREG(there.st_mode):
        return False
    if (here.st_size, here.st_mtime_ns) != (there.st_size, there.st_mtime_ns):
        return False
    # clocks of file systems are coarse: an older result may have the very time
    return _equal(source, target)


def _equal(one: str, other: str) -> bool:
    with open(one, "rb") as first, open(other, "rb") as second:  # noqa: PTH123
        while piece := first.read(_PIECE_BYTES):
            if piece != second.read(_PIECE_BYTES):
                return False
        return not second.read(1)


def copy_file(source: str, target: str) -> None:
    """Copy content, time and permissions; what is at `target` is replaced, a link not followed."""
    part = part_of(target)
    try:
        shutil.copyfile(source, part)
        shutil.copystat(source, part)
        _verified(source, part)
        os.replace(part, target)  # noqa: PTH105
    except BaseException:
        with suppress(OSError):
            os.unlink(part)  # noqa: PTH108
        raise


def link_or_copy(source: str, target: str) -> None:
    """Make `target` the same file as `source`, or a copy of it where that is not possible."""
    part = part_of(target)
    try:
        os.link(os.path.realpath(source), part)
    except FileExistsError:  # left by a try that was killed
        os.unlink(part)  # noqa: PTH108
        link_or_copy(source, target)
        return
    except OSError:  # another file system, another owner, one that has no links
        copy_file(source, target)
        return
    _put(part, target)


def link_over(source: str, target: str) -> None:
    """Make `target` a symbolic link to `source`, whatever file or link was there; a directory is not replaced."""
    part = part_of(target)
    with suppress(FileNotFoundError):  # left by a try that was killed
        os.unlink(part)  # noqa: PTH108
    os.symlink(source, part)  # noqa: PTH211
    _put(part, target)


def _put(part: str, target: str) -> None:
    try:
        os.replace(part, target)  # noqa: PTH105
    except OSError:
        with suppress(OSError):
            os.unlink(part)  # noqa: PTH108
        raise


def part_of(target: str) -> str:
    """Return the name beside `target` that holds it while it is not complete."""
    directory, name = os.path.split(target)
    digest = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:16]
    return f"{directory}/.jobferry-{digest}.part"


def _verified(source: str, part: str) -> None:
    """Compare contents: the source may be removed after this.

    Raises:
        OSError: they differ; another try may do better.
    """
    if not _equal(source, part):
        raise OSError(errno.EIO, "its copy differs, or it changed while it was copied", source)
