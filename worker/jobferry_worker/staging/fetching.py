"""Results come back: from a run's directory to the producer's own.

    missing = fetch("/scratch/5e7-1", "/home/alice/work", "dir1", ["out.*", "traj"])

Directories come with all that is in them. Links are followed, except to a directory that holds what they stand in; a
link in the producer's directory that leads out of it is never written through.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from jobferry_common import globbing
from jobferry_common.errors import StagingError
from jobferry_common.scripts.layout import HIDDEN
from jobferry_worker.staging.copying import copy_file, link_or_copy, same_content

if TYPE_CHECKING:
    from collections.abc import Iterable


def fetch(base: str, source: str, path: str, patterns: Iterable[str]) -> list[str]:
    """Bring what patterns stand for in a directory; return the patterns that stand for nothing.

    Raises:
        OSError: a file cannot be read or written.
        StagingError: it would be written outside of the producer's directory.
    """
    directory = f"{base}/{path}"
    home = f"{source}/{path}"
    missing = []
    for pattern in patterns:
        names = [name for name in globbing.matches(directory, pattern) if _there(directory, name)]
        if not names:
            if shut := globbing.shut_above(directory, pattern):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), shut)
            missing.append(pattern)
        for name in names:
            _one(directory, home, name)
    return missing


def _there(directory: str, name: str) -> bool:
    return os.path.exists(f"{directory}/{name}")  # noqa: PTH110


def _one(directory: str, home: str, name: str) -> None:
    os.makedirs(home, exist_ok=True)  # noqa: PTH103
    if name == ".":
        for child in _children(directory):
            _bring(directory, home, child, frozenset())
    else:
        _bring(directory, home, name, frozenset())


def _bring(directory: str, home: str, name: str, above: frozenset[tuple[int, int]]) -> None:
    origin, target = f"{directory}/{name}", f"{home}/{name}"
    status = _status(origin)
    if status is None:
        return
    if stat.S_ISDIR(status.st_mode):
        _bring_directory(directory, home, name, above | {(status.st_dev, status.st_ino)}, above)
    elif stat.S_ISREG(status.st_mode) and not same_content(origin, target):
        room_for(home, name)
        if _is_own(directory, name):
            link_or_copy(origin, target)
        else:
            copy_file(origin, target)


def _is_own(directory: str, name: str) -> bool:
    """Tell whether a file lies in the task's directory: one that a link leads to belongs to somebody else."""
    place = os.path.normpath(directory)
    linked = os.path.islink(f"{directory}/{name}") or os.path.islink(place)  # noqa: PTH114
    if "/" not in name and not linked:
        return True
    parent, last = os.path.split(place)
    root = f"{os.path.realpath(parent)}/{last}"  # a task may have put a link in its place
    return os.path.realpath(f"{directory}/{name}").startswith(f"{root}/")


def _bring_directory(
    directory: str,
    home: str,
    name: str,
    seen: frozenset[tuple[int, int]],
    above: frozenset[tuple[int, int]],
) -> None:
    origin, target = f"{directory}/{name}", f"{home}/{name}"
    # a link in a circle, one into the producer's directory, one to what all of this is in
    if seen == above or _same(origin, target) or _leads_up(origin, directory, home):
        return
    room_for(home, f"{name}/.")
    for child in _children(origin):
        _bring(directory, home, f"{name}/{child}", seen)


def _leads_up(origin: str, *places: str) -> bool:
    """Tell whether a link leads to a directory that holds one of the places: to copy it would never end."""
    if not os.path.islink(origin):  # noqa: PTH114
        return False
    real = os.path.realpath(origin).rstrip("/")
    return any(f"{os.path.realpath(place)}/".startswith(f"{real}/") for place in places)


def _status(path: str) -> os.stat_result | None:
    """Return what a path leads to; None for a link to nothing."""
    try:
        return os.stat(path)  # noqa: PTH116
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            return None
        raise


def _same(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)  # noqa: PTH121
    except FileNotFoundError:
        return False


def _children(directory: str) -> list[str]:
    return sorted(name for name in os.listdir(directory) if name != HIDDEN)  # noqa: PTH208


def room_for(home: str, name: str) -> None:
    """Make the directory of a name below `home`, unless a link leads it elsewhere."""
    if "/" not in name:
        return
    parent = f"{home}/{os.path.dirname(name)}"  # noqa: PTH120
    real, root = os.path.realpath(parent), os.path.realpath(home)
    if real != root and not real.startswith(f"{root.rstrip('/')}/"):
        msg = f"{parent} leads to {real}, out of {root}; nothing is written there: remove that link"
        raise StagingError(msg)
    os.makedirs(parent, exist_ok=True)  # noqa: PTH103
