"""What goes next is prepared while the last of it is on its way.

    with closing(ahead(chunks)) as ready:
        for chunk in ready:
            send(chunk)

A thread of its own takes the chunks, at most a few of them before they are wanted.
"""

from __future__ import annotations

from contextlib import closing
from queue import Empty, Queue
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

#: chunks that lie ready; one may be a pack of some megabytes
_MOST: Final = 4
_LOOK_SECONDS: Final = 0.05


class _Ahead:
    """The thread, and what it has taken."""

    def __init__(self, chunks: Generator[bytes]) -> None:
        self._chunks = chunks
        self._taken: Queue[bytes | None] = Queue(_MOST)
        self._unwanted = Event()
        self._error: BaseException | None = None
        self._thread = Thread(target=self._take, name="ahead", daemon=True)
        self._thread.start()

    def _take(self) -> None:
        try:
            with closing(self._chunks):
                for chunk in self._chunks:
                    self._taken.put(chunk)
                    if self._unwanted.is_set():
                        return
        except BaseException as error:  # noqa: BLE001 - raised again where the chunks are wanted
            self._error = error
        finally:
            self._taken.put(None)

    def wanted(self) -> Iterator[bytes]:
        """Return the chunks; what the others raised comes in its turn."""
        while (chunk := self._taken.get()) is not None:
            yield chunk
        if self._error is not None:
            raise self._error

    def end(self) -> None:
        """Let the thread end: whatever it puts is taken."""
        self._unwanted.set()
        while self._thread.is_alive():
            try:
                self._taken.get(timeout=_LOOK_SECONDS)
            except Empty:
                continue


def ahead(chunks: Generator[bytes]) -> Generator[bytes]:
    """Return chunks that are prepared by a thread of its own; what they raise is raised here.

    It is to be closed: until then the thread waits for its chunks to be wanted.
    """
    taking = _Ahead(chunks)
    try:
        yield from taking.wanted()
    finally:
        taking.end()
