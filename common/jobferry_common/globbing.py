"""Globs below a directory: `*`, `?`, `[…]`, and `**` for any number of directories.

    matches("/data/run1", "out.*")          ['out.1', 'out.2']
    matches("/data/run1", "**/*.log")       ['a/x.log', 'y.log']

A name that exists as it is written wins over what it would mean as a pattern. As in a shell, names that begin with
a dot are found only by patterns that do; `**` does not follow links to directories.
"""

from __future__ import annotations

import fnmatch
import os
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAGIC: Final = re.compile(r"[*?[]")
_ANY_DEPTH: Final = "**"


def is_pattern(text: str) -> bool:
    """Tell whether a name may mean several."""
    return _MAGIC.search(text) is not None


def matches(directory: str, pattern: str) -> list[str]:
    """Return the sorted names below `directory` that a literal name or a pattern stands for."""
    if os.path.lexists(f"{directory}/{pattern}"):
        return [pattern]
    return expanded(directory, pattern) if is_pattern(pattern) else []


def expanded(directory: str, pattern: str) -> list[str]:
    """Return the sorted names below `directory` that fit a pattern."""
    return sorted(set(_expand(directory, "", pattern.split("/"))))


def _expand(directory: str, prefix: str, parts: list[str]) -> Iterator[str]:
    part, rest = parts[0], parts[1:]
    if part == _ANY_DEPTH:
        yield from _any_depth(directory, prefix, rest)
    elif not is_pattern(part):
        yield from _step(directory, prefix, part, rest)
    else:
        for entry in _entries(directory):
            if _fits(entry.name, part):
                yield from _step(directory, prefix, entry.name, rest)


def _step(directory: str, prefix: str, name: str, rest: list[str]) -> Iterator[str]:
    path = f"{directory}/{name}"
    if not rest:
        if os.path.lexists(path):
            yield prefix + name
    elif os.path.isdir(path):  # noqa: PTH112 - no object for each of many files
        yield from _expand(path, f"{prefix}{name}/", rest)


def _any_depth(directory: str, prefix: str, rest: list[str]) -> Iterator[str]:
    yield from _expand(directory, prefix, rest or ["*"])
    for entry in _entries(directory):
        if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
            yield from _any_depth(entry.path, f"{prefix}{entry.name}/", rest)


def _entries(directory: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as found:
            return list(found)
    except OSError:
        return []


def _fits(name: str, part: str) -> bool:
    if name[0] == "." and part[0] != ".":
        return False
    return _compiled(part).match(name) is not None


@lru_cache(maxsize=1000)
def _compiled(part: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(part))
