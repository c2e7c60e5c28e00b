"""Patience: a call that goes on trying while the broker does not answer.

patience = Patience(timeout=60)
record = patience.call(lambda: ledger.run(run))
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, TypeVar

from jobferry_common.errors import BrokerUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0


class Patience:
    """A deadline that several calls share; None never ends."""

    def __init__(self, timeout: float | None) -> None:
        self._deadline = None if timeout is None else time.monotonic() + timeout

    def left(self) -> float:
        """Return the seconds that are left, infinite without a deadline."""
        return float("inf") if self._deadline is None else self._deadline - time.monotonic()

    def at_most(self, seconds: float) -> float:
        """Return `seconds`, or what is left if that is less."""
        return max(0.0, min(seconds, self.left()))

    def check(self, what: str) -> None:
        """Raise `TimeoutError` when nothing is left."""
        if self.left() <= 0:
            raise TimeoutError(what)

    def call(self, ask: Callable[[], _T]) -> _T:
        """Return the answer; while the broker is away, ask again until the deadline.

        Raises:
            BrokerUnreachable: it was still away at the deadline.
        """
        pause = _FIRST_PAUSE
        while True:
            try:
                return ask()
            except BrokerUnreachable as error:
                if self.left() <= pause:
                    raise
                self._tell(error, pause)
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _tell(self, error: BrokerUnreachable, pause: float) -> None:
        """Say it once, in the first moments of an outage."""
        if pause == _FIRST_PAUSE:
            _log.warning(
                "%s: waiting until it answers again.", error, extra={"action": "await_broker"}
            )
