"""Reading the archive of a stream: what GNU tar writes with `--format=gnu`, files and holes only.

    for member in members(incoming.read):
        for offset, data in member.pieces():
            os.pwrite(descriptor, data, offset)

The standard library does this too, in five times the time; with 10,000 small files that is most of what there is to do.
Nothing is checked here but the form: the checksum of the whole stream proves the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_BLOCK: Final = 512
_FILES: Final = b"0\0"
_SPARSE: Final = b"S"
_LONG_NAME: Final = b"L"
_LONG_LINK: Final = b"K"
_MANY: Final = 0x80
#: of an old GNU header: where four extents stand, whether more follow, and the real size
_EXTENTS, _MORE, _REAL_SIZE = 386, 482, 483
_EXTENT_BYTES: Final = 24
#: of a block that only holds extents
_MORE_EXTENTS, _MORE_MORE = 21, 504


class BadArchive(Exception):  # noqa: N818
    """The stream ended, or is no archive."""


class _Bytes:
    """A stream from which exact numbers of bytes are taken."""

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read = read
        self._held = b""
        self._at = 0

    def some(self, most: int) -> bytes:
        """Return what is at hand, at most so many bytes."""
        if self._at >= len(self._held):
            self._held, self._at = self._read(), 0
            if not self._held:
                msg = "it ends too early"
                raise BadArchive(msg)
        data = self._held[self._at : self._at + most]
        self._at += len(data)
        return data

    def take(self, number: int) -> bytes:
        """Return so many bytes."""
        data = self.some(number) if number else b""
        while len(data) < number:
            data += self.some(number - len(data))
        return data

    def skip(self, number: int) -> None:
        """Leave so many bytes out."""
        while number:
            number -= len(self.some(number))


@dataclass(slots=True)
class Member:
    """A file of an archive; what is not read of it is skipped."""

    name: bytes
    is_file: bool
    size: int  #: holes included
    extents: list[tuple[int, int]]  #: where its data belongs: offset, length
    _bytes: _Bytes
    _left: int
    _padding: int

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        """Return its data with the places where it belongs."""
        for offset, length in self.extents:
            end = offset + length
            while offset < end:
                data = self._bytes.some(end - offset)
                self._left -= len(data)
                yield offset, data
                offset += len(data)  # noqa: PLW2901

    def finish(self) -> None:
        """Go on to the next."""
        self._bytes.skip(self._left + self._padding)
        self._left = self._padding = 0


def members(read: Callable[[], bytes]) -> Iterator[Member]:
    """Return the members of an archive, one after the other.

    Raises:
        BadArchive: it cannot be read.
    """
    stream = _Bytes(read)
    long_name = b""
    while (block := stream.take(_BLOCK)).strip(b"\0"):
        size = _number(block[124:136])
        kind = block[156:157]
        if kind in (_LONG_NAME, _LONG_LINK):
            text = stream.take(size).rstrip(b"\0")
            stream.skip(-size % _BLOCK)
            long_name = text if kind == _LONG_NAME else long_name
            continue
        member = _member(block, stream, size, long_name)
        long_name = b""
        yield member
        member.finish()


def _member(block: bytes, stream: _Bytes, size: int, long_name: bytes) -> Member:
    kind = block[156:157]
    extents, real = [(0, size)], size
    if kind == _SPARSE:
        extents, real = _sparse(block, stream), _number(block[_REAL_SIZE : _REAL_SIZE + 12])
    return Member(
        name=long_name or block[:100].split(b"\0", 1)[0],
        is_file=kind in _FILES or kind == _SPARSE,
        size=real,
        extents=extents,
        _bytes=stream,
        _left=size,
        _padding=-size % _BLOCK,
    )


def _sparse(block: bytes, stream: _Bytes) -> list[tuple[int, int]]:
    extents = _extents(block[_EXTENTS:_MORE])
    more = block[_MORE]
    while more:
        block = stream.take(_BLOCK)
        extents += _extents(block[: _MORE_EXTENTS * _EXTENT_BYTES])
        more = block[_MORE_MORE]
    return extents


def _extents(table: bytes) -> list[tuple[int, int]]:
    found = []
    for at in range(0, len(table), _EXTENT_BYTES):
        entry = table[at : at + _EXTENT_BYTES]
        if entry.strip(b"\0"):
            found.append((_number(entry[:12]), _number(entry[12:])))
    return found


def _number(text: bytes) -> int:
    if text[:1] and text[0] & _MANY:  # more than eleven octal digits hold
        return int.from_bytes(bytes([text[0] & ~_MANY]) + text[1:], "big")
    try:
        return int(text.split(b"\0", 1)[0].strip() or b"0", 8)
    except ValueError:
        msg = f"{text!r} is no number"
        raise BadArchive(msg) from None
