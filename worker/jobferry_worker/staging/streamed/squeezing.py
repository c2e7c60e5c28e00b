"""Whether compression pays: for data that shrinks, on a link that is slower than the compressor.

squeezing = Squeezing(wanted=True)
flag, wire = squeezing.of(content)      "z", fewer bytes; or "-", the same bytes
"""

from __future__ import annotations

import time
import zlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PLAIN: Final = "-"
SQUEEZED: Final = "z"
_SAMPLES: Final = 16
_SAMPLE_BYTES: Final = 1 << 12
#: less is not worth a process on the far side
_LEAST_BYTES: Final = 1 << 14
_LEVEL: Final = 1
_GZIP: Final = 31
#: data that shrinks less stays as it is
_RATIO: Final = 0.8
#: a link that is faster than the compressor gains nothing
_FAST_BYTES_PER_SECOND: Final = 60e6
#: buffers on the way swallow the first of it at once
_BUFFERED_BYTES: Final = 4 << 20


class Squeezing:
    """What is known of one link, and of what goes over it."""

    def __init__(self, *, wanted: bool) -> None:
        #: False where a profile or a missing program forbids it
        self.wanted = wanted
        #: of what came last: what comes next may be alike
        self.sample = b""
        self._gathered = b""
        self._bytes = 0
        self._seconds = 0.0

    def watched(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Pass chunks on, and see how long the link takes for them."""
        for chunk in chunks:
            begin = time.monotonic()
            yield chunk
            self.note(len(chunk), time.monotonic() - begin)

    def note(self, number: int, seconds: float) -> None:
        """Remember how long some bytes took."""
        self._bytes += number
        self._seconds += seconds

    def look(self, data: bytes) -> None:
        """Take a piece of what comes as a sample of what comes next; small ones together."""
        self._gathered = data if len(data) >= _LEAST_BYTES else self._gathered + data
        if len(self._gathered) >= _LEAST_BYTES:
            self.sample, self._gathered = self._gathered, b""

    def pays(self, sample: bytes) -> bool:
        """Tell whether data of this kind should be compressed."""
        if not self.wanted or len(sample) < _LEAST_BYTES or self._is_fast():
            return False
        # an archive may begin with nothing but names, which tell little about the rest; pieces must not overlap
        step = max(len(sample) // _SAMPLES, _SAMPLE_BYTES)
        starts = range((step - _SAMPLE_BYTES) // 2, len(sample), step)
        piece = b"".join(sample[at : at + _SAMPLE_BYTES] for at in starts)
        return len(zlib.compress(piece, _LEVEL)) < _RATIO * len(piece)

    def _is_fast(self) -> bool:
        known = self._bytes > _BUFFERED_BYTES
        return known and self._bytes > _FAST_BYTES_PER_SECOND * self._seconds

    def of(self, content: bytes) -> tuple[str, bytes]:
        """Return how a content travels, and as what."""
        if not self.pays(content):
            return PLAIN, content
        squeezer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        return SQUEEZED, squeezer.compress(content) + squeezer.flush()

    def stream(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Compress a stream."""
        squeezer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        for chunk in chunks:
            if data := squeezer.compress(chunk):
                yield data
        yield squeezer.flush()
