"""How often results of a run that goes on are fetched over a link: at once, then after rests that grow.

    pacing = Pacing()
    if pacing.may(run):              # True: nothing was fetched just now
        pacing.begin(run)            # 5 s, then 10, 20 and 30 s while jobs keep ending
    pacing.left([run])               # 5.0: seconds until the next round

Each round starts some processes at the far side, however few results it brings. A run that ended is not to be asked
about here: its last results never wait.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jobferry_common.names import RunId

_FIRST_SECONDS: Final = 5.0
_MOST_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class _Rest:
    """What follows a round."""

    seconds: float  #: how long it is
    until: float  #: when it is over, by the clock


class Pacing:
    """The rests of one cluster's runs; to be used from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._guard = Lock()
        self._rests: dict[RunId, _Rest] = {}

    def may(self, run: RunId) -> bool:
        """Tell whether a round may begin."""
        with self._guard:
            rest = self._rests.get(run)
            return rest is None or rest.until <= self._clock()

    def begin(self, run: RunId) -> None:
        """Note that a round begins; after a long time in which nothing came, the rests are short again."""
        with self._guard:
            now = self._clock()
            self._rests = {
                one: rest for one, rest in self._rests.items() if now < rest.until + _MOST_SECONDS
            }
            last = self._rests.get(run)
            seconds = min(2 * last.seconds, _MOST_SECONDS) if last else _FIRST_SECONDS
            self._rests[run] = _Rest(seconds, now + seconds)

    def left(self, runs: Iterable[RunId]) -> float | None:
        """Return the seconds until the first of these may be fetched again; None if none rests."""
        with self._guard:
            now = self._clock()
            rests = [self._rests[run].until - now for run in runs if run in self._rests]
        return min((rest for rest in rests if rest > 0), default=None)
