"""A TCP proxy on the loopback that is as bad as a network can be: it stalls, delays, resets, counts.

with Proxy(server.port) as proxy:
    proxy.stall()              # nothing passes, nothing is lost
    proxy.go_on()
    proxy.reset()              # every connection, and again after `proxy.reset_after` bytes of one
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Coroutine

_PIECE: Final = 1 << 16
#: closing sends a reset, and throws away what waits
_RESET: Final = struct.pack("ii", 1, 0)


class Proxy:
    """It forwards to one port."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.port = 0
        #: seconds that each piece is late, in each direction
        self.delay = 0.0
        #: bytes to the server after which a connection is reset; 0: never
        self.reset_after = 0
        #: the same for bytes from the server
        self.reset_after_received = 0
        #: bytes to the server so far, connections so far
        self.sent = 0
        self.connections = 0
        self._loop = asyncio.new_event_loop()
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def stall(self) -> None:
        """Let nothing pass."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def go_on(self) -> None:
        """Let everything pass, also what waited."""
        self._loop.call_soon_threadsafe(self._open.set)

    def reset(self) -> None:
        """Break every connection."""
        self._await(self._reset())

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        self._await(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        """End it, and all connections."""
        self._await(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _await(self, coroutine: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def _end(self) -> None:
        if self._server:
            self._server.close()
        await self._reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _reset(self) -> None:
        for writer in self._writers:
            plug: socket.socket | None = writer.get_extra_info("socket")
            if plug is not None:
                plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
        self._writers.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        for source, sink, up in ((reader, far_writer, True), (far_reader, writer, False)):
            task = asyncio.create_task(self._forward(source, sink, up=up))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _forward(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, up: bool
    ) -> None:
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(64)
        taking = asyncio.create_task(self._take(source, pieces))
        self._tasks.add(taking)
        taking.add_done_callback(self._tasks.discard)
        passed = 0
        try:
            while True:
                due, piece = await pieces.get()
                await asyncio.sleep(max(0.0, due - self._loop.time()))
                await self._open.wait()
                if not piece:
                    break
                sink.write(piece)
                await sink.drain()
                passed += len(piece)
                await self._count(piece, passed, up=up)
        except OSError:
            pass
        finally:
            taking.cancel()
            self._writers.discard(sink)
            sink.close()

    async def _count(self, piece: bytes, passed: int, *, up: bool) -> None:
        self.sent += len(piece) if up else 0
        most = self.reset_after if up else self.reset_after_received
        if most and passed > most:
            await self._reset()

    async def _take(
        self, source: asyncio.StreamReader, pieces: asyncio.Queue[tuple[float, bytes]]
    ) -> None:
        piece = b"."
        while piece:
            try:
                piece = await source.read(_PIECE)
            except OSError:
                piece = b""
            await pieces.put((self._loop.time() + self.delay, piece))
