"""When a host may be tried again: later after each failure, and much later after a refused login.

    backoff.failed(error)
    backoff.rest()              seconds until the next attempt; 0.0: now

A host that refuses a login counts, too, and some lock out an address that is refused again and again.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import HostUnreachable, LoginRefused
from jobferry_common.ssh.totp import CodeUsed

if TYPE_CHECKING:
    from collections.abc import Callable

#: powers of two that are asked for
_DOUBLINGS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait, in seconds: after the first failure, and at most. It doubles."""

    first_seconds: float = 1.0
    most_seconds: float = 60.0
    #: after a refused login; four attempts in the first ten minutes
    first_refused_seconds: float = 60.0
    most_refused_seconds: float = 300.0
    #: a connection that held so long did not fail
    steady_seconds: float = 20.0


class Backoff:
    """The attempts to reach one account; to be used under its lock."""

    def __init__(self, patience: Patience, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience = patience
        self._clock = clock
        self._failures = 0
        self._losses = 0
        self._next = 0.0
        self._opened = 0.0
        self._error: HostUnreachable | None = None

    def rest(self) -> float:
        """Return how many seconds are left until the next attempt."""
        return max(0.0, self._next - self._clock())

    def failed(self, error: HostUnreachable) -> None:
        """Note an attempt that failed."""
        self._error = error
        if isinstance(error, CodeUsed):
            self._next = self._clock() + error.seconds
            return
        self._failures += 1
        given = self._patience
        if isinstance(error, LoginRefused):
            first, most = given.first_refused_seconds, given.most_refused_seconds
        else:
            first, most = given.first_seconds, given.most_seconds
        self._wait(first, most, self._failures)

    def opened(self) -> None:
        """Note an attempt that succeeded."""
        self._failures = 0
        self._error = None
        self._opened = self._clock()

    def was_lost(self, name: str) -> None:
        """Note that a connection broke: the first time, or after a while, it is opened again at once."""
        if self._clock() - self._opened >= self._patience.steady_seconds:
            self._losses = 0
            return
        self._losses += 1
        if self._losses > 1:
            self._error = HostUnreachable(f"the connection to {name} breaks again and again")
            self._wait(self._patience.first_seconds, self._patience.most_seconds, self._losses - 1)

    def resting(self) -> HostUnreachable:
        """Return what is to be raised in the meantime: always the same words, as they become a cluster's state."""
        error = self._error or HostUnreachable("the connection was lost")
        kind = LoginRefused if isinstance(error, CodeUsed) else type(error)
        return kind(str(error))

    def _wait(self, first: float, most: float, failures: int) -> None:
        longest = min(first * 2.0 ** min(failures - 1, _DOUBLINGS), most)
        # several workers that lost the same host do not come back at the same moment
        self._next = self._clock() + longest * random.uniform(0.75, 1.0)  # noqa: S311 - no secret
