"""What is submitted: an endless row of batches, each drawn from the seed and its number alone.

batch(seed=7, number=0)     # Batch(number=0, place="far", tasks=30, group=1, …)
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

#: where batches go, and how many of a hundred
PLACES: Final = {
    "shell": 26,  # Shell, Local
    "slurm": 20,  # Slurm, Local
    "lazy": 10,  # Slurm, LazyLocal
    "far": 10,  # Slurm, over ssh
    "tight": 8,  # Shell, Local, on a disk that fills
    "shared": 14,  # whichever of shell and slurm has room
    "apart": 12,  # Shell, through the depot: its worker does not see the producer's files
}
#: of these the worker does not see the producer's files
APART: Final = "apart"
#: what batches of each place may be as large as; several sizes, because each takes other ways
_SIZES: Final[dict[str, Sequence[int]]] = {
    "shell": (1, 5, 40, 60, 120, 200),
    "slurm": (1, 5, 40, 60, 150),
    "lazy": (2, 20, 60),
    "far": (1, 20, 60),
    "tight": (1, 10, 30),
    "shared": (10, 40, 60),
    "apart": (1, 5, 20, 60),
}
_CANCELLED, _CLEANED, _GROUPED, _NAPPING = 0.12, 0.15, 0.15, 0.3
#: of a batch that is to be cancelled: some wait while some run
_TO_CANCEL: Final = 24
_LONG_SECONDS: Final = 300.0
#: of shared batches: those that one of both clusters refuses, and that are given up at one of them
_REFUSED, _GIVEN_UP = 0.3, 0.4
#: long enough that it has some of them when it is given up
_UNHURRIED_SECONDS: Final = 2.0
#: the one of both
SPOILT: Final = "slurm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One submission."""

    number: int
    place: str
    tasks: int
    group: int  #: tasks of a job
    naps: float  #: seconds that each task sleeps
    cancelled: bool  #: its producer cancels it
    cleaned: bool  #: its producer removes it from cluster and ledger when it is done
    refused: bool = False  #: it names a partition of which Slurm knows nothing: another cluster has to do all of it
    given_up: bool = False  #: its producer gives up what Slurm has of it, once that runs

    @property
    def jobs(self) -> int:
        """Number of its jobs."""
        return -(-self.tasks // self.group)

    @property
    def clusters(self) -> str | list[str]:
        """What its submission names."""
        return ["shell", "slurm"] if self.place == "shared" else self.place

    def key(self, task: int) -> str:
        """Return by which name a task logs itself."""
        return f"{self.number}.{task}"


def batch(seed: int, number: int, places: Sequence[str] = tuple(PLACES)) -> Batch:
    """Return one batch; all of it depends on these arguments."""
    dice = random.Random(f"{seed}/{number}")
    place = dice.choices(places, [PLACES[name] for name in places])[0]
    cancelled = dice.random() < _CANCELLED
    tasks = _TO_CANCEL if cancelled else dice.choice(_SIZES[place])
    naps = dice.choice([0.2, 0.5, 1.0]) if dice.random() < _NAPPING else 0.0
    group = dice.choice([2, 5]) if dice.random() < _GROUPED and tasks > 1 else 1
    cleaned = dice.random() < _CLEANED
    fate = dice.random() if place == "shared" and not cancelled else 1.0
    given_up = _REFUSED <= fate < _REFUSED + _GIVEN_UP
    return Batch(
        number=number,
        place=place,
        tasks=tasks,
        group=group,
        naps=_LONG_SECONDS if cancelled else _UNHURRIED_SECONDS if given_up else naps,
        cancelled=cancelled,
        cleaned=cleaned,
        refused=fate < _REFUSED,
        given_up=given_up,
    )
