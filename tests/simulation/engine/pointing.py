"""Clocks, random names and the way of bulk files of the real code, pointed at the simulation.

with pointed_at(simulation): ...
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final
from unittest import mock

from jobferry_common.ledger import accepting, leases, ledger
from jobferry_worker import clock
from jobferry_worker.reconcile import killpoints, lease, root
from jobferry_worker.transfer import claimed, end, move, resuming, to_cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobferry_worker.staging.base import Lacking
    from jobferry_worker.transfer.move import Move
    from tests.simulation.engine.simulation import Simulation

_CLOCKS: Final = (clock, claimed, resuming, to_cluster)
_NAMES: Final = (accepting, leases, ledger, root)


class SimTime:
    """What modules know as `time`, and as `secrets`."""

    CLOCK_MONOTONIC = 1

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._serial = 0

    def time(self) -> float:
        """Return the time by the clock of whoever acts."""
        actor = self._simulation.fate.current
        return self._simulation.now + (actor.process.skew if actor else 0.0)

    def monotonic(self) -> float:
        return self._simulation.now

    def clock_gettime(self, _which: int) -> float:
        return self._simulation.now

    def token_hex(self, size: int) -> str:
        self._serial += 1
        return f"{self._serial:0{2 * size}x}"


def _common(moved: Move) -> list[Lacking]:
    return moved.staging.collect_common(moved.header, moved.layout)


@contextmanager
def pointed_at(simulation: Simulation) -> Iterator[None]:
    """Have the real code live in a simulation."""
    ours = SimTime(simulation)
    with ExitStack() as stack:
        for module in _CLOCKS:
            stack.enter_context(mock.patch.object(module, "time", ours))
        for module in _NAMES:
            stack.enter_context(mock.patch.object(module, "secrets", ours))
        stack.enter_context(mock.patch.object(lease, "holder", simulation.holder))
        stack.enter_context(mock.patch.object(lease, "is_dead", simulation.is_dead))
        stack.enter_context(mock.patch.object(move, "staging_of", simulation.staging_of))
        # several clusters bring common results by way of the producer's own disk
        stack.enter_context(mock.patch.object(end, "collect_common", _common))
        stack.enter_context(killpoints.trapped(simulation.fate.strike))
        yield
