"""The whole of jobferry under 2,000 seeds, and what has to have happened in them.

`make simulate SEED=17` lives through one and prints its trace; JOBFERRY_SEEDS=50 has this test live
through fewer, without counting.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.simulation.engine.census import SEEDS, lacking
from tests.simulation.engine.driver import run
from tests.simulation.engine.living import simulate, trace_of
from tests.simulation.engine.regressions import REGRESSIONS

if TYPE_CHECKING:
    from redis import Redis


@pytest.mark.parametrize("seed", REGRESSIONS, ids=lambda seed: f"seed-{seed}")
def test_what_was_found_once_stays_mended(redis: Redis, seed: int) -> None:
    assert simulate(redis, seed)


@pytest.mark.timeout(1800)
def test_thousands_of_seeds_break_no_promise_and_each_fault_occurs() -> None:
    seeds = int(os.environ.get("JOBFERRY_SEEDS", SEEDS))
    tally, failed = run(range(seeds), os.cpu_count() or 1)
    assert not failed
    assert seeds < SEEDS or lacking(tally) == []


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_seed_decides_everything(redis: Redis, seed: int) -> None:
    assert trace_of(redis, seed) == trace_of(redis, seed)
