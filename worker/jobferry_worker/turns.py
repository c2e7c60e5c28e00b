"""One pass over a cluster at a time, within a process.

    turn.take(work)     # runs `work`; a second caller leaves at once, and `work` runs once more for its sake

A hint that arrives during a pass may tell of work that the pass did not see any more: so it is not dropped,
and however many arrive, one more pass answers them all. Where passes take longer than hints are apart, as over a slow
link, there is always one more: then the turn ends with `owed`, so that what the passes found is seen to first.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: passes of one turn
_PASSES: Final = 2


class Turn:
    """Who may work on a cluster."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._busy = False
        self._again = False
        #: True: somebody came during the last pass of the last turn
        self.owed = False
        #: `time.monotonic()` of the start of what runs now; None while nothing runs
        self.since: float | None = None

    def take(self, work: Callable[[], None]) -> bool:
        """Run `work`, and again for those who came meanwhile; False when somebody else does it for us."""
        with self._guard:
            if self._busy:
                self._again = True
                return False
            self._busy = True
        try:
            for _ in range(_PASSES):
                self.since = time.monotonic()
                self._again = False
                work()
                if not self._again:
                    break
        finally:
            with self._guard:
                self.owed = self._again
                self._busy = self._again = False
                self.since = None
        return True
