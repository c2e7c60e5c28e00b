"""Looks at a cluster between two ticks, while jobs are out.

    look … spool spool spool(something!) look … spool spool … due: look … nothing out: end

A thread for each cluster that has work; an idle worker has none. Reading the spool is one listing of a directory
and no scheduler command; a look happens when something lies there, or when the last look asked for the next.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

logger: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """When to look again."""

    next_look: float  #: seconds until a look is due in any case
    spool: float  #: seconds between two looks at the spool


#: after a look that failed for a reason that nobody foresaw
_AFTER_FAILURE: Final = Rhythm(next_look=5.0, spool=5.0)


class Watch:
    """The thread of one cluster."""

    def __init__(
        self,
        name: str,
        *,
        look: Callable[[], Rhythm | None],
        arrived: Callable[[], bool],
    ) -> None:
        self._name = name
        self._look = look
        self._arrived = arrived
        self._guard = threading.Condition()
        self._woken = False
        self._stopped = False
        self._rhythm: Rhythm | None = None
        self._thread: threading.Thread | None = None

    def follow(self, rhythm: Rhythm | None) -> None:
        """Take over after a look of somebody else's: None when nothing is out."""
        with self._guard:
            self._rhythm = rhythm
            self._guard.notify_all()
            if rhythm is not None:
                self._ensure()

    def wake(self) -> None:
        """Look now."""
        with self._guard:
            self._woken = True
            self._guard.notify_all()
            self._ensure()

    def stop(self) -> None:
        """Look no more; a look that runs is left to end."""
        with self._guard:
            self._stopped = True
            self._guard.notify_all()

    def _ensure(self) -> None:
        if self._thread is None and not self._stopped:
            self._thread = threading.Thread(
                target=self._run, name=f"watch-{self._name}", daemon=True
            )
            self._thread.start()

    def _run(self) -> None:
        while self._wait():
            try:
                rhythm = self._look()
            except Exception:  # one bad look must not end the looks of this cluster
                logger.exception(
                    "A look at %s failed.", self._name, extra={"action": "look-failed"}
                )
                rhythm = _AFTER_FAILURE
            with self._guard:
                self._rhythm = rhythm

    def _wait(self) -> bool:
        """Return True when a look is due, False when the thread shall end."""
        begun = time.monotonic()
        while True:
            with self._guard:
                if self._stopped or (self._rhythm is None and not self._woken):
                    self._thread = None
                    return False
                if self._woken or self._rhythm is None:
                    self._woken = False
                    return True
                left = begun + self._rhythm.next_look - time.monotonic()
                if left <= 0:
                    return True
                self._guard.wait(min(left, self._rhythm.spool))
            if self._arrived():
                return True
