"""A directory of a producer and a cluster's root, with a host between them that counts what goes over it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobferry_worker.hosts import LocalHost
from jobferry_worker.staging.streamed import Streamed
from tests.worker.staging.places import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import timedelta
    from pathlib import Path

    from jobferry_common.schedulers.base import Argv, Completed


class CountingHost(LocalHost):
    """This machine, as if it were far: it counts bytes, and can be cut off."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = 0
        #: called with each chunk before it goes
        self.on_chunk: Callable[[bytes], None] = lambda _: None
        #: called before each command
        self.on_run: Callable[[], None] = lambda: None
        #: what becomes of each chunk
        self.change: Callable[[bytes], bytes] = lambda chunk: chunk

    def run(self, argv: Argv, **more: Any) -> Completed:
        self.on_run()
        return super().run(argv, **more)

    def feed(self, argv: Argv, chunks: Iterable[bytes], *, silence: timedelta) -> Completed:
        return super().feed(argv, self._counted(chunks), silence=silence)

    def _counted(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.on_chunk(chunk)
            self.sent += len(chunk)
            yield self.change(chunk)


class FarPlace(Place):
    """A place whose staging is streamed."""

    def __init__(self, top: Path) -> None:
        super().__init__(top, "streamed")
        self.host = CountingHost()
        self.staging = Streamed(self.host, str(self.root))

    @property
    def cache(self) -> Path:
        return self.root / ".jobferry" / "cache"

    def sent(self, act: Callable[[], object]) -> int:
        """Return how many bytes an act sends."""
        self.host.sent = 0
        act()
        return self.host.sent

    def entries(self, kind: str) -> list[Path]:
        return sorted(path for path in (self.cache / kind).rglob("*") if path.is_file())


def write(path: Path, content: bytes) -> Path:
    """Write a file, and the directories above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
