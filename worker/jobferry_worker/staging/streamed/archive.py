"""Tar archives in memory: headers as GNU tar writes them, a few microseconds each.

    b"".join([header(b"t/in", size=5), padded(b"input"), END])

Names are bytes of any length. Links in an archive are how thousands of hard links are made by one command.
"""

from __future__ import annotations

import os
from typing import Final

_BLOCK: Final = 512
_SHORT: Final = 100
#: ends an archive
END: Final = bytes(2 * _BLOCK)
FILE: Final = b"0"
LINK: Final = b"1"
DIRECTORY: Final = b"5"
_LONG_NAME: Final = b"L"
_LONG_LINK: Final = b"K"
_LONG: Final = b"././@LongLink"
_SUM_BLANK: Final = 8 * ord(" ")


def header(
    name: bytes,
    *,
    size: int = 0,
    mode: int = 0o644,
    mtime: int = 0,
    kind: bytes = FILE,
    link: bytes = b"",
) -> bytes:
    """Return the header of a member; its content follows, `padded`."""
    before = b""
    if len(link) > _SHORT:
        before += header(_LONG, size=len(link) + 1, kind=_LONG_LINK) + padded(link + b"\0")
    if len(name) > _SHORT:
        before += header(_LONG, size=len(name) + 1, kind=_LONG_NAME) + padded(name + b"\0")
    start = b"%s%07o\0%07o\0%07o\0%011o\0%011o\0" % (
        name[:_SHORT].ljust(_SHORT, b"\0"),
        *(mode, 0, 0, size, min(max(mtime, 0), 0o77777777777)),
    )
    rest = kind + link[:_SHORT].ljust(_SHORT, b"\0") + b"ustar  \0"
    checksum = b"%06o\0 " % (sum(start) + _SUM_BLANK + sum(rest))
    return before + (start + checksum + rest).ljust(_BLOCK, b"\0")


def padded(content: bytes) -> bytes:
    """Return a content filled up to whole blocks."""
    return content + padding(content)


def padding(content: bytes) -> bytes:
    """Return what fills a content up to whole blocks: a large one need not be copied for it."""
    return bytes(-len(content) % _BLOCK)


def directory(path: str) -> bytes:
    """Return the member that makes a directory; the far side's umask applies."""
    return header(os.fsencode(path) + b"/", mode=0o777, kind=DIRECTORY)


def hard_link(path: str, target: str) -> bytes:
    """Return the member that makes a hard link."""
    return header(os.fsencode(path), kind=LINK, link=os.fsencode(target))
