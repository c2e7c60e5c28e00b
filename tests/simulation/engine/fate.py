"""What the seed decides: who dies where, who is held up, which answers and messages do not arrive.

    fate = Fate(seed=17, clock=clock)
    fate.strike("before reserve")       # the acting process may die here, or be held up
    fate.happens("message lost")        # True as often as this seed's weather has it

Everything that happens is counted, and told to the trace if somebody wants one.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Final

from tests.simulation.engine.actors import Crash
from tests.simulation.engine.adoptions import Adoptions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jobferry_common.ledger.records import Change
    from jobferry_common.names import RunId
    from tests.simulation.engine.actors import Actor

#: how often each fault strikes where it can, in seeds that have it
FAULTS: Final = {
    "killed": 0.004,
    "held up": 0.004,
    "held up before a fenced write": 0.03,
    "broker answer lost": 0.003,
    "broker answer lost, asked again": 0.01,
    "message lost": 0.3,
    "message doubled": 0.3,
    "message late": 0.3,
    "answer late": 0.1,
    "answer garbled": 0.05,
    "file not written": 0.03,
    "files not readable": 0.02,
}
_HELD_SECONDS: Final = (1.0, 10.0, 50.0, 120.0)
_BEYOND_LEASE_SECONDS: Final = 60.0


class Fate:
    """The dice of one seed."""

    def __init__(self, seed: int, clock: Callable[[], float]) -> None:
        self.random = random.Random(seed)
        self.clock = clock
        self.tally: Counter[str] = Counter()
        self.trace: list[str] | None = None
        self.current: Actor | None = None
        self.adoptions = Adoptions(self)
        self._rates = {
            name: rate * self.random.choice([0.0, 0.3, 1.0]) for name, rate in FAULTS.items()
        }

    def calm(self) -> None:
        """From now on nothing goes wrong."""
        self._rates = {}

    def happens(self, fault: str) -> bool:
        """Tell whether a fault strikes now."""
        rate = self._rates.get(fault, 0.0)
        if not rate or self.random.random() >= rate:
            return False
        self.count(fault)
        return True

    def strike(self, point: str) -> None:
        """Let the acting process die here, or be held up; nobody else is touched."""
        actor = self.current
        if actor is None:
            return
        if not actor.process.alive:
            raise Crash
        if self.happens("killed"):
            self.tell(f"is killed {point}")
            actor.process.alive = False
            raise Crash
        if self.happens("held up"):
            self._hold(actor, self.random.choice(_HELD_SECONDS), point)

    def strike_fenced(self, point: str) -> None:
        """Hold the acting process up until its lease has ended, between its last look at it and what it writes."""
        if self.current is not None and self.happens("held up before a fenced write"):
            self._hold(self.current, _BEYOND_LEASE_SECONDS, point)

    def _hold(self, actor: Actor, seconds: float, point: str) -> None:
        self.tell(f"is held up for {seconds:.0f} s {point}")
        actor.pause(seconds)
        self.tell(f"goes on {point}")

    def rest(self, seconds: float) -> None:
        """Let time pass in the middle of what an actor does."""
        if self.current is not None:
            self.current.pause(seconds)

    def count(self, what: str, times: int = 1) -> None:
        """Count what happened, and tell it."""
        self.tally[what] += times
        if self.trace is not None:
            self.tell(what)

    def tell(self, what: str) -> None:
        """Write a line of the trace."""
        if self.trace is not None:
            who = self.current.name if self.current else "the world"
            self.trace.append(f"{self.clock() - 1_700_000_000.0:9.1f}  {who:22} {what}")

    def note_changes(self, run: RunId, changes: Sequence[Change]) -> None:
        """Take note of how jobs came to their states."""
        self.adoptions.note(run, changes)
