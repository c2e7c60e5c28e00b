"""Named points between two effects, where a test may end the worker as SIGKILL does.

    JOBFERRY_KILL_AT=after-reserve            at the first time
    JOBFERRY_KILL_AT=after-submit:3           at the third

The variable is read once, when this module is imported; without it a point is one comparison.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Trap = Callable[[str], None]

#: every point, in the order in which a job meets them
POINTS: Final = (
    "after-lease",
    "before-files",
    "before-reserve",
    "after-reserve",
    "after-submit",
    "after-ids",
    "before-refuse",
    "after-cancel",
    "after-strays",
    "after-claims",
    "after-claimed",
    "after-changes",
    "after-pending-cancelled",
    "after-end",
    "after-tidy",
    "after-forget",
    "after-readback",
)


def _deadly(place: str, times: int) -> Trap:
    left = times

    def trap(point: str) -> None:
        nonlocal left
        left -= point == place
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    return trap


def _from_environment(text: str) -> Trap | None:
    place, _, times = text.partition(":")
    return _deadly(place, int(times or 1)) if place else None


_traps: list[Trap | None] = [_from_environment(os.environ.get("JOBFERRY_KILL_AT", ""))]


def kill_here(point: str) -> None:
    """End the worker if a test wants it to end at this point."""
    if trap := _traps[-1]:
        trap(point)


@contextmanager
def trapped(trap: Trap) -> Iterator[None]:
    """Call `trap` with the name of each point that is passed; to raise there is a crash."""
    _traps.append(trap)
    try:
        yield
    finally:
        _traps.pop()
