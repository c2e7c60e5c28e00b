"""Sharing the room of a cluster: owners first, then the runs of each. Pure.

    >>> share(4, [Wish("ann", "a-1", 100, 0), Wish("bob", "b-1", 1, 0)])
    {'a-1': 3, 'b-1': 1}

Whoever has the fewest jobs out is served next, so a run of three jobs never waits for one of 100,000. A priority
orders the runs of one owner; among owners it means nothing.
"""

from __future__ import annotations

import heapq
from collections import Counter
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobferry_common.names import RunId


Name = TypeVar("Name")


class Wish(NamedTuple):
    """A run that wants to submit."""

    owner: str
    run: RunId
    wanted: int  #: jobs that may go now
    out: int  #: its jobs that are out already
    priority: int = 0  #: among the runs of its owner, those with more are served first


class _Queue(Generic[Name]):
    """Members, those with the most priority, then with the least first; among equals, who waits longest."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, int, Name]] = []
        self._serial = 0

    def add(self, name: Name, level: int, priority: int = 0) -> None:
        heapq.heappush(self._heap, (-priority, level, self._serial, name))
        self._serial += 1

    def take(self) -> tuple[Name, int, int] | None:
        if not self._heap:
            return None
        priority, level, _, name = heapq.heappop(self._heap)
        return name, level, -priority


def share(room: int, wishes: Sequence[Wish]) -> dict[RunId, int]:
    """Return how many jobs each run may submit."""
    if room >= sum(wish.wanted for wish in wishes):
        return {wish.run: wish.wanted for wish in wishes if wish.wanted}
    left = {wish.run: wish.wanted for wish in wishes}
    owners, runs = _queues(wishes)
    given: Counter[RunId] = Counter()
    while room > 0 and (next_owner := owners.take()):
        owner, level, _ = next_owner
        if (run := _serve(runs[owner], left)) is not None:
            given[run] += 1
            room -= 1
            owners.add(owner, level + 1)
    return dict(given)


def _queues(wishes: Sequence[Wish]) -> tuple[_Queue[str], dict[str, _Queue[RunId]]]:
    owners: _Queue[str] = _Queue()
    runs: dict[str, _Queue[RunId]] = {}
    out: Counter[str] = Counter()
    for wish in wishes:
        runs.setdefault(wish.owner, _Queue()).add(wish.run, wish.out, wish.priority)
        out[wish.owner] += wish.out
    for owner in runs:
        owners.add(owner, out[owner])
    return owners, runs


def _serve(runs: _Queue[RunId], left: dict[RunId, int]) -> RunId | None:
    """Take one job of the owner's run that has the fewest out; None when the owner wants nothing more."""
    while (next_run := runs.take()) is not None:
        run, level, priority = next_run
        if left[run] > 0:
            left[run] -= 1
            runs.add(run, level + 1, priority)
            return run
    return None
