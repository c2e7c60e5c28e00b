"""Living through a seed, once or twice: the second time with a trace of what happened.

simulate(redis, seed=17)          # what happened how often; raises Breach with the trace
"""

from __future__ import annotations

import logging
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from tests.simulation.engine.simulation import Breach, Simulation

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from redis import Redis

    from tests.simulation.engine.fate import Fate

#: lines of a trace
_SHOWN: Final = 2000


def simulate(redis: Redis, seed: int) -> Counter[str]:
    """Live through one seed.

    Raises:
        Breach: with the trace of what happened, which a second life of the same seed brought.
    """
    try:
        return _live(redis, seed)
    except Exception as error:  # noqa: BLE001 - whatever it is, the trace tells how it came
        failure = _told(error)
    trace, again = trace_of(redis, seed)
    if failure.splitlines()[-1:] != again.splitlines()[-1:]:
        again = f"{failure}\n(not so the second time: the simulation depends on more than its seed)"
    raise Breach("\n".join([*trace[-_SHOWN:], "", f"seed {seed}: {again}"]))


def wrong_in(redis: Redis, seed: int) -> str:
    """Live through one seed; return what was wrong, without a trace."""
    try:
        _live(redis, seed)
    except Exception as error:  # noqa: BLE001
        return _told(error)
    return ""


def trace_of(redis: Redis, seed: int) -> tuple[list[str], str]:
    """Live through one seed; return the trace, and what was wrong."""
    trace: list[str] = []
    try:
        _live(redis, seed, trace)
    except Exception as error:  # noqa: BLE001
        return trace, _told(error)
    return trace, ""


def _told(error: Exception) -> str:
    if isinstance(error, Breach):
        return str(error)
    return "".join(traceback.format_exception(error))


def _live(redis: Redis, seed: int, trace: list[str] | None = None) -> Counter[str]:
    redis.flushdb()
    simulation = Simulation(redis, seed, trace)
    with _logs_to(simulation.fate):
        return simulation.run()


@contextmanager
def _logs_to(fate: Fate) -> Iterator[None]:
    """Have the trace say what the logs say; without one, nobody does."""
    logger = logging.getLogger("jobferry_worker")
    handler = logging.Handler(logging.INFO)
    handler.emit = lambda record: fate.tell(f"log: {record.getMessage()}")  # type: ignore[method-assign]
    before = logger.handlers, logger.propagate, logger.level
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO if fate.trace is not None else logging.CRITICAL)
    try:
        yield
    finally:
        logger.handlers, logger.propagate, logger.level = before
