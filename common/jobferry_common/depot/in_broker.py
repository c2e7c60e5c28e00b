"""The broker itself as a store: chunks of objects as Redis values, within a limit.

    depot:data:<digest>      hash: number of the chunk → its bytes
    depot:data:<writer>      the same, while it is being written
    depot:bytes              hash: digest or writer → size
    depot:used               bytes of all of them; counted in the very step that writes
    depot:writing            sorted set: writer → the time after which it counts as dead

Nothing here expires by itself but what a dead writer left.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from jobferry_common.depot.store import checked, not_there
from jobferry_common.errors import DepotError, DepotFull

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from jobferry_common.ledger.store import Store as Ledger

_WRITER_SECONDS: Final = 600
_MIB: Final = 1024 * 1024


class InBroker:
    """The `Store` in Redis or Valkey."""

    def __init__(self, ledger: Ledger, limit_bytes: int) -> None:
        self.shown = f"{ledger.shown} (the broker)"
        self._ledger = ledger
        self.limit: int | None = limit_bytes
        self._limit = limit_bytes

    def id(self) -> str:
        """Return the id, made by who asks first."""
        key = self._ledger.key("depot:id")
        self._ledger.ask("SET", key, secrets.token_hex(8), "NX")
        return str(self._ledger.ask("GET", key))

    def has(self, digests: Collection[str]) -> set[str]:
        """Look for all of them in one round trip."""
        wanted = list(digests)
        answers = self._ledger.batch([("EXISTS", self._key(digest)) for digest in wanted])
        return {digest for digest, there in zip(wanted, answers, strict=True) if there}

    def put(self, digest: str, chunks: Iterable[bytes]) -> None:
        """Write chunk after chunk under a name of its own, then give it its name."""
        writer = f"writer-{secrets.token_hex(8)}"
        number = -1
        try:
            for number, chunk in enumerate(checked(digest, chunks, self.shown)):
                self._write(writer, number, chunk)
            if not self._ledger.call("depot_commit", writer, digest, number + 1):
                msg = f"the depot {self.shown} lost object {digest[:12]} while it was written"
                raise DepotError(msg)
        except BaseException:
            self._ledger.call("depot_drop", writer)
            raise

    def get(self, digest: str) -> Iterator[bytes]:
        """Read chunk after chunk."""
        count = int(self._ledger.ask("HLEN", self._key(digest)))
        if not count:
            raise not_there(self.shown, digest)
        yield from checked(digest, self._chunks(digest, count), self.shown)

    def remove(self, digests: Collection[str]) -> None:
        """Remove them in one step."""
        if digests:
            self._ledger.call("depot_drop", *digests)

    def _chunks(self, digest: str, count: int) -> Iterator[bytes]:
        for number in range(count):
            chunk = self._ledger.ask_bytes("HGET", self._key(digest), number)
            if chunk is None:
                raise not_there(self.shown, digest)
            yield chunk

    def _write(self, writer: str, number: int, chunk: bytes) -> None:
        now = self._ledger.clock()
        times = (f"{now:.3f}", f"{now + _WRITER_SECONDS:.3f}")
        used = self._ledger.call("depot_write", writer, number, chunk, self._limit, *times)
        if used < 0:
            msg = (
                f"the depot {self.shown} is full: it may hold {self._limit / _MIB:.0f} MiB. Fetch results with "
                "`jobferry fetch ID`, `jobferry clean` old runs, or raise depot.limit_mib"
            )
            raise DepotFull(msg)

    def _key(self, name: str) -> str:
        return self._ledger.key("depot:data", name)
