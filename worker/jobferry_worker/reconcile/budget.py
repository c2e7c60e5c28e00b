"""How many scheduler commands an account may give: so many a second, fewer after the scheduler complained.

budget = Budget(per_second=5.0, clock=time.time)
if budget.left() >= 1:
    budget.spend()
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: seconds' worth of commands that may be given at once after a quiet time, and the least of them
_BURST_SECONDS: Final = 2.0
_BURST: Final = 20.0
_SLOWEST: Final = 1 / 16
_RECOVERY: Final = 1.1


class Budget:
    """A bucket of commands; threads may share one."""

    def __init__(self, per_second: float, clock: Callable[[], float]) -> None:
        self._rate = per_second
        self._clock = clock
        self._factor = 1.0
        self._guard = threading.Lock()
        self._left = self._most
        self._at = clock()

    def left(self) -> int:
        """Return how many commands may be given now."""
        with self._guard:
            self._refill()
            return max(int(self._left), 0)

    def spend(self) -> None:
        """Count a command; looks are never refused, they only use up what submits would have."""
        with self._guard:
            self._refill()
            self._left -= 1

    def complain(self) -> None:
        """Halve the rate: the scheduler is busy."""
        with self._guard:
            self._factor = max(self._factor / 2, _SLOWEST)
            self._left = min(self._left, 1.0)

    def praise(self) -> None:
        """Come back to the full rate step by step."""
        with self._guard:
            self._factor = min(self._factor * _RECOVERY, 1.0)

    @property
    def _most(self) -> float:
        return max(_BURST, self._rate * _BURST_SECONDS)

    def _refill(self) -> None:
        now = self._clock()
        gained = max(now - self._at, 0.0) * self._rate * self._factor
        self._left, self._at = min(self._left + gained, self._most), now
