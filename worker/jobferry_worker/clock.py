"""The one clock by which a worker knows how long it holds a lease, and whether it was stopped meanwhile.

    now()                       seconds; nobody sets this clock, and it goes on while the machine is suspended

    hold = Hold(move.renew)
    for task in tasks:
        hold.keep()             renews what is held if that is some time ago; raises what `renew` does

`time.monotonic` stands still on a suspended machine, while leases at the broker do not; `time.time` may be set back.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: a lease lasts longer by far, and a renewal is one round trip
_RENEW_SECONDS: Final = 10.0


def now() -> float:
    """Return seconds of a clock that nobody sets and that goes on while the machine is suspended, as leases do."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Hold:
    """A lease that is renewed now and then while something takes its time."""

    def __init__(self, renew: Callable[[], None]) -> None:
        self._renew = renew
        self._renewed = now()

    def keep(self) -> None:
        """Renew it, unless that was a moment ago.

        Raises:
            LeaseLost: this process was stopped for a while, and another one went on, whose files have changed since.
        """
        if now() - self._renewed >= _RENEW_SECONDS:
            self.renew()

    def renew(self) -> None:
        """Renew it in any case; raises what `keep` does."""
        self._renew()
        self._renewed = now()
