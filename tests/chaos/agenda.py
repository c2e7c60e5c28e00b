"""Which named points are to come: the ones with the fewest hits first, until each was hit often enough.

agenda = Agenda(PASS, hits=20, dice=random.Random(7))
agenda.draw()               # "after-forget,after-submit:3"
agenda.take(hits)           # what the processes wrote before they ended
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Mapping

#: points that one process has at once: it ends at the first
_AT_ONCE: Final = 5
#: how often a point is passed before its end comes, drawn from these
_TIMES: Final = (1, 1, 1, 1, 2, 3)


class Agenda:
    """The points of one kind of process."""

    def __init__(self, points: Iterable[str], *, hits: int, dice: random.Random) -> None:
        self._points = tuple(points)
        self._wanted = hits
        self._dice = dice
        self._hits: Counter[str] = Counter()

    def draw(self) -> str:
        """Return the points of the next process, as JOBFERRY_KILL_AT wants them; empty if all is done."""
        left = {point: self._wanted - self._hits[point] for point in self._points}
        open_ = [point for point, number in left.items() if number > 0]
        weights = [left[point] ** 2 for point in open_]
        chosen = {self._dice.choices(open_, weights)[0] for _ in range(_AT_ONCE)} if open_ else ()
        return ",".join(f"{point}:{self._dice.choice(_TIMES)}" for point in sorted(chosen))

    def take(self, hits: Mapping[str, int]) -> None:
        """Learn how often each point was hit so far."""
        self._hits = Counter({point: hits.get(point, 0) for point in self._points})

    @property
    def missing(self) -> dict[str, int]:
        """Return the points that are still to be hit, with the number of times."""
        left = {point: self._wanted - self._hits[point] for point in self._points}
        return {point: number for point, number in left.items() if number > 0}
