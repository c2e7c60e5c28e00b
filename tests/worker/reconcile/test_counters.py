"""What a cluster's record counts of crashes: adoptions, submits that are repeated, refusals, and what was read back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobferry_common.names import AttemptKey
from jobferry_common.states import JobState
from jobferry_worker.reconcile import killpoints
from tests.simulation.bench import Bench, Crash
from tests.simulation.fakes import ALPHA, ROOT
from tests.simulation.world import World
from tests.worker.reconcile.test_readback import change_broker, claim_of

if TYPE_CHECKING:
    from redis import Redis


def crash_at(bench: Bench, point: str) -> None:
    """Have the worker die at a point of its next pass."""

    def die(here: str) -> None:
        if here == point:
            raise Crash(point)

    with killpoints.trapped(die), pytest.raises(Crash):
        bench.step()
    bench.restart()


def counted(bench: Bench) -> tuple[int, int, int, int]:
    record = bench.ledger.cluster(ALPHA)
    return record.adopted, record.recalled, record.refused, record.restored


def test_what_is_found_after_a_crash_is_an_adoption(bench: Bench) -> None:
    bench.accept(jobs=3)
    crash_at(bench, "after-submit")
    bench.until_final()
    assert counted(bench) == (3, 0, 0, 0)


def test_what_never_was_submitted_is_recalled(bench: Bench) -> None:
    bench.accept(jobs=3)
    crash_at(bench, "after-reserve")
    bench.until_final()
    assert counted(bench) == (0, 3, 0, 0)


def test_a_job_that_was_refused_is_counted_once(bench: Bench) -> None:
    run = bench.accept()
    bench.step()
    spool = f"{ROOT}/.jobferry/spool/{bench.ledger.id}/{ALPHA}"
    name = f"{spool}/{run}.{AttemptKey(0, 1)}.refused.4711"
    bench.world.files[name] = b""
    bench.step()
    bench.step()
    assert name not in bench.world.files
    assert counted(bench) == (0, 0, 1, 0)


def test_what_the_broker_forgot_is_counted(redis: Redis) -> None:
    bench = Bench(redis, World(limit=1, longest=100_000.0))
    run = bench.accept(jobs=2)
    bench.steps(60)
    bench.world.files[claim_of(run, 1)] = b"job 99\n"
    change_broker(bench)
    bench.step()
    assert bench.ledger.job(run, 1).state is JobState.RUNNING
    assert counted(bench)[3] > 0


def test_there_are_only_these_counters(bench: Bench) -> None:
    with pytest.raises(TypeError, match="failures"):
        bench.ledger.count(ALPHA, failures=1)
