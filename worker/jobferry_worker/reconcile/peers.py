"""The other clusters, as the worker of one sees them: who works, and who was not heard of for too long.

    peers.note(records, now)
    peers.live(now, 60.0)        # {"hpc2"}
    peers.away(now, 60.0)        # {"hpc3"}: paused or silent for more than a minute

Silence is measured here, by our own clock, from when we saw the last change: clocks of clusters differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobferry_common.ledger.records import ClusterRecord
    from jobferry_common.names import ClusterName


class _Seen(NamedTuple):
    last_pass: float
    changed: float  #: when `last_pass` was another one for the last time
    paused: float | None  #: since when; None while it works


class Peers:
    """What was seen of clusters, and when."""

    def __init__(self) -> None:
        self._seen: dict[ClusterName, _Seen] = {}
        self.asked = 0.0  #: when the ledger was last asked for them

    def note(self, records: Iterable[ClusterRecord], now: float) -> None:
        """Take what the ledger says of clusters now."""
        self.asked = now
        self._seen = {record.name: self._of(record, now) for record in records}

    def _of(self, record: ClusterRecord, now: float) -> _Seen:
        old = self._seen.get(record.name)
        is_same = old is not None and old.last_pass == record.last_pass
        paused = (old.paused if old and old.paused is not None else now) if record.paused else None
        changed = old.changed if old is not None and is_same else now
        return _Seen(record.last_pass, changed, paused)

    def live(self, now: float, limit: float) -> frozenset[ClusterName]:
        """Return the clusters that work: not paused, and heard of within `limit` seconds."""
        return frozenset(
            name
            for name, seen in self._seen.items()
            if seen.paused is None and seen.last_pass and now - seen.changed < limit
        )

    def away(self, now: float, limit: float) -> frozenset[ClusterName]:
        """Return the clusters that were paused or silent for `limit` seconds or more."""
        return frozenset(
            name
            for name, seen in self._seen.items()
            if now - seen.changed >= limit
            or (seen.paused is not None and now - seen.paused >= limit)
        )
