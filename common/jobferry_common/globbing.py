"""Globs below a directory: `*`, `?`, `[…]`, and `**` for any number of directories.

    matches("/data/run1", "out.*")          ['out.1', 'out.2']
    matches("/data/run1", "**/*.log")       ['a/x.log', 'y.log']

A name that exists as it is written wins over what it would mean as a pattern. As in a shell, names that begin with
a dot are found only by patterns that do; `**` does not follow links to directories. What a pattern means does not
depend on where the files are: a `Tree` may stand for another machine's.
"""

from __future__ import annotations

import fnmatch
import os
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_MAGIC: Final = re.compile(r"[*?[]")
_ANY_DEPTH: Final = "**"


class Entry(Protocol):
    """A name in a directory; `os.DirEntry` is one."""

    @property
    def name(self) -> str:
        """The name alone."""
        ...

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Tell whether it is a directory."""
        ...


class Tree(Protocol):
    """Files, wherever they are."""

    def exists(self, path: str) -> bool:
        """Tell whether there is something of that name, be it a link to nothing."""
        ...

    def is_directory(self, path: str) -> bool:
        """Tell whether a path leads to a directory."""
        ...

    def entries(self, path: str) -> Iterable[Entry]:
        """Return what is in a directory, nothing if it cannot be read."""
        ...


class _Disk:
    """The files that this process sees."""

    def exists(self, path: str) -> bool:
        return os.path.lexists(path)

    def is_directory(self, path: str) -> bool:
        return os.path.isdir(path)  # noqa: PTH112 - no object for each of many files

    def entries(self, path: str) -> Sequence[os.DirEntry[str]]:
        try:
            with os.scandir(path) as found:
                return list(found)
        except OSError:
            return []


_DISK: Final = _Disk()


def is_pattern(text: str) -> bool:
    """Tell whether a name may mean several."""
    return _MAGIC.search(text) is not None


def matches(directory: str, pattern: str, tree: Tree = _DISK) -> list[str]:
    """Return the sorted names below `directory` that a literal name or a pattern stands for."""
    if tree.exists(f"{directory}/{pattern}"):
        return [pattern]
    return expanded(directory, pattern, tree) if is_pattern(pattern) else []


def may_lead_to(pattern: str, name: str) -> bool:
    """Tell whether what a pattern stands for may be a directory, hold it, or lie in it."""
    parts = pattern.split("/")
    if _ANY_DEPTH in parts:
        first = parts.index(_ANY_DEPTH)
        return not first or may_lead_to("/".join(parts[:first]), name)
    pairs = zip(name.split("/"), parts, strict=False)
    return all(one == part or _fits(one, part) for one, part in pairs)


def shut_above(directory: str, pattern: str) -> str:
    """Return the directory that keeps this process from looking for a pattern; empty if none does."""
    path = directory
    for part in ["", *pattern.split("/")]:
        path = f"{path}/{part}" if part else path
        if is_pattern(part) or not os.path.isdir(path):  # noqa: PTH112
            return ""
        if not os.access(path, os.R_OK | os.X_OK):
            return path
    return ""


def expanded(directory: str, pattern: str, tree: Tree = _DISK) -> list[str]:
    """Return the sorted names below `directory` that fit a pattern."""
    return sorted(set(_expand(tree, directory, "", pattern.split("/"))))


def _expand(tree: Tree, directory: str, prefix: str, parts: list[str]) -> Iterator[str]:
    part, rest = parts[0], parts[1:]
    if part == _ANY_DEPTH:
        yield from _any_depth(tree, directory, prefix, rest)
    elif not is_pattern(part):
        yield from _step(tree, directory, prefix, part, rest)
    else:
        for entry in tree.entries(directory):
            if _fits(entry.name, part):
                yield from _step(tree, directory, prefix, entry.name, rest)


def _step(tree: Tree, directory: str, prefix: str, name: str, rest: list[str]) -> Iterator[str]:
    path = f"{directory}/{name}"
    if not rest:
        if tree.exists(path):
            yield prefix + name
    elif tree.is_directory(path):
        yield from _expand(tree, path, f"{prefix}{name}/", rest)


def _any_depth(tree: Tree, directory: str, prefix: str, rest: list[str]) -> Iterator[str]:
    yield from _expand(tree, directory, prefix, rest or ["*"])
    for entry in tree.entries(directory):
        if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
            yield from _any_depth(tree, f"{directory}/{entry.name}", f"{prefix}{entry.name}/", rest)


def _fits(name: str, part: str) -> bool:
    if name[0] == "." and part[0] != ".":
        return False
    return _compiled(part).match(name) is not None


@lru_cache(maxsize=1000)
def _compiled(part: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(part))
