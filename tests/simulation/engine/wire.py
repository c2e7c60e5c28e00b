"""A client of a real Valkey that does nothing but ask: most of a seed's time went into retries and pools.

    wire = Wire(redis)
    wire.execute_command("HGET", "jobferry:submissions", "3f2a9c01d5e7")

It speaks over one connection of the client that it is given, and shapes answers as that does. Nothing is tried again:
whoever simulates decides which answers are lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import hiredis
from redis.client import NEVER_DECODE

if TYPE_CHECKING:
    from redis import Redis

_CHUNK = 65536


class Wire:
    """What the ledger uses of a client."""

    def __init__(self, client: Redis) -> None:
        self.connection_pool: Any = client.connection_pool
        self._shapes: dict[str, Any] = dict(client.response_callbacks)
        # taken for good: it was greeted, and its reader turns errors into those of the client
        connection: Any = self.connection_pool.get_connection()
        self._socket = connection._sock
        self._reader = connection._parser._reader
        self._connection = connection
        self._nothing = connection._parser._reader.gets()

    def close(self) -> None:
        """Give the connection back."""
        self.connection_pool.release(self._connection)

    def execute_command(self, *command: Any, **options: Any) -> Any:
        """Send one command and return its answer."""
        self._socket.sendall(_packed(command))
        return self._shaped(command, self._answer(decoded=NEVER_DECODE not in options))

    def pipeline(self, *, transaction: bool) -> Batch:
        """Return an empty batch."""
        if transaction:
            msg = "this way sends no transactions"
            raise NotImplementedError(msg)
        return Batch(self)

    def send_all(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        """Send many commands at once; an error is among the answers."""
        self._socket.sendall(b"".join(map(_packed, commands)))
        found = [self._read() for _ in commands]
        return [
            answer if isinstance(answer, Exception) else self._shaped(command, answer)
            for command, answer in zip(commands, found, strict=True)
        ]

    def _answer(self, *, decoded: bool) -> Any:
        answer = self._read(decoded=decoded)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _read(self, *, decoded: bool = True) -> Any:
        while (answer := self._reader.gets(decoded)) is self._nothing:
            chunk = self._socket.recv(_CHUNK)
            if not chunk:
                msg = "the broker of the simulation is gone"
                raise ConnectionError(msg)
            self._reader.feed(chunk)
        return answer

    def _shaped(self, command: tuple[Any, ...], answer: Any) -> Any:
        shape = self._shapes.get(command[0])
        return answer if shape is None else shape(answer)


class Batch:
    """Commands that are sent together."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._commands: list[tuple[Any, ...]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._commands = []

    def execute_command(self, *command: Any) -> None:
        """Add a command."""
        self._commands.append(command)

    def execute(self, *, raise_on_error: bool) -> list[Any]:
        """Send them and return their answers."""
        commands, self._commands = self._commands, []
        answers = self._wire.send_all(commands)
        if raise_on_error and (
            wrong := next((a for a in answers if isinstance(a, Exception)), None)
        ):
            raise wrong
        return answers


def _packed(command: tuple[Any, ...]) -> bytes:
    # "CONFIG GET" is two words
    packed: bytes = hiredis.pack_command((*str(command[0]).split(), *command[1:]))
    return packed
