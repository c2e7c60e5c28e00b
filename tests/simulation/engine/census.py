"""What has to have happened over a whole run of many seeds: without it nothing was tested.

lacking(tally)       # ["adopted by its claim: 12"], or [] when all is well
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.simulation.engine.fate import FAULTS
from tests.simulation.engine.weather import KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping

#: how a worker may learn what became of a job
WAYS: Final = (
    *("adopted by its token", "adopted by its claim", "adopted by its record"),
    *("adopted on read-back", "submitted again", "claim refused"),
    *("end told by the history", "end told when asked by name", "lost"),
    *("read back: never ran", "removed from its array", "refused by its fence"),
    *("lease taken over", "lease lost", "presented again"),
)
#: of the scheduler and of its files
FAR: Final = (
    *("scheduler lists late", "scheduler reuses an id", "scheduler requeues", "record seen late"),
    *(
        "submit answered late",
        "submit doubled",
        "submit lost",
        "submit turned away",
        "answer lost",
        "outage",
    ),
    *("job vanished", "job died without a record", "hint lost"),
    *("job ended: node_failure", "job ended: out_of_memory", "job ended: preempted"),
)
#: what users do
DEEDS: Final = tuple(
    f"user: {deed}"
    for deed in (
        "cancel",
        "retry",
        "resubmit",
        "hold",
        "release",
        "abandon",
        "fetch",
        "clean",
        "pause",
        "resume",
    )
)
#: of each, in so many seeds
LEAST: Final = 100
SEEDS: Final = 2000


def wanted() -> tuple[str, ...]:
    """Return everything that has to occur."""
    return (*FAULTS, *KINDS, *FAR, *WAYS, *DEEDS)


def lacking(tally: Mapping[str, int], least: int = LEAST) -> list[str]:
    """Return what did not occur often enough."""
    return [f"{what}: {tally.get(what, 0)}" for what in wanted() if tally.get(what, 0) < least]
