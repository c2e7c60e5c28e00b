"""Named points between two effects, where a test may end the process as SIGKILL does.

    JOBFERRY_KILL_AT=after-reserve                at the first time
    JOBFERRY_KILL_AT=after-submit:3               at the third
    JOBFERRY_KILL_AT=after-forget,after-submit:3  at whichever comes first
    JOBFERRY_KILL_LOG=hits                        the file that gets the name of the point, a line for each end

The variables are read once, when this module is imported; without them a point is one comparison.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Trap = Callable[[str], None]

#: of a worker's pass, in the order in which a job meets them
PASS: Final = (
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
#: of them, those that only runs meet which clusters share
SHARED: Final = ("after-claimed", "before-refuse", "after-strays")
#: of a worker's moves of files, in the order in which a run meets them
MOVES: Final = (
    "after-asked",
    "after-begun",
    "after-directories",
    "after-mirrored",
    "after-brought",
    "after-claimed-brought",
    "after-marks",
    "after-staged",
    "after-results",
    "after-put",
    "after-part-noted",
    "after-done-noted",
    "after-failures-noted",
    "after-collected",
    "after-common",
    "after-delivered",
    "after-removed",
    "after-cleaned",
)
#: of a bridge, in the order in which a job meets them
BRIDGE: Final = (
    "bridge-packed",
    "bridge-stored",
    "bridge-starting",
    "bridge-begun",
    "bridge-started",
    "bridge-fetched",
    "bridge-unpacked",
)
#: of a cloud behind a bridge: its archive is there, and no job is made of it
CLOUD: Final = ("cloud-uploaded",)
#: of a producer, in the order in which a submission meets them
PRODUCER: Final = (
    "after-offered",
    "after-accepted",
    "after-taken-up",
    "after-kept",
    "after-hint",
    "after-fetched",
    "after-fetched-noted",
    "after-settled",
)
#: of a ledger that is made again
RECOVER: Final = ("after-recovered", "after-rebuilt")
#: of beat
BEAT: Final = ("after-tick-mark", "after-tick")


def deadly(text: str, log: str = "") -> Trap | None:
    """Return what ends the process at the points that `text` names; None if it names none."""
    parts = (part.partition(":") for part in text.split(",") if part)
    left = {place: int(times or 1) for place, _, times in parts}

    def trap(point: str) -> None:
        if point not in left:
            return
        left[point] -= 1
        if not left[point]:
            _end(point, log)

    return trap if left else None


def _end(point: str, log: str) -> None:
    if log:
        file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(file, f"{point}\n".encode())
    os.kill(os.getpid(), signal.SIGKILL)


def arm(environment: Mapping[str, str]) -> None:
    """Take the points from other variables than those of the import: a test's child that was forked has its own."""
    at, log = environment.get("JOBFERRY_KILL_AT", ""), environment.get("JOBFERRY_KILL_LOG", "")
    _traps[:] = [deadly(at, log)]


_traps: list[Trap | None] = []
arm(os.environ)


def kill_here(point: str) -> None:
    """End the process if a test wants it to end at this point."""
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
