"""A worker that dies anywhere, and a broker that forgets: on a simulated cluster, with a real ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.killpoints import RECOVER, SHARED
from jobferry_common.states import JobState
from jobferry_worker.reconcile import killpoints
from tests.simulation.bench import Bench, Crash
from tests.simulation.world import Chances, World

if TYPE_CHECKING:
    from redis import Redis

_S = JobState


#: of runs that clusters share (see test_sharing.py, test_given_up.py); of a ledger that is made again (test_recover.py)
RARE = (*SHARED, *RECOVER)


@pytest.mark.parametrize("point", [name for name in killpoints.POINTS if name not in RARE])
def test_a_worker_that_is_killed_anywhere_leaves_nothing_behind(redis: Redis, point: str) -> None:
    chances = Chances(submit_delayed=0.3, task_fails=0.2, no_record=0.1)
    bench = Bench(redis, World(seed=3, chances=chances))
    runs = [bench.accept(jobs=4, continue_on_failure=True) for _ in range(4)]
    runs.append(bench.accept(jobs=4, staged=False))
    passed = 0

    def die(here: str) -> None:
        nonlocal passed
        passed += here == point
        if here == point and passed <= 3:
            raise Crash(point)

    for step in range(80):
        if step == 3:
            bench.ledger.wish_cancel(runs[3])
            bench.ledger.wish_cancel(runs[4])
        try:
            with killpoints.trapped(die):
                bench.step(5.0)
        except Crash:
            bench.restart()
    assert passed
    bench.until_final()
    assert not list(bench.world.faults())
    for run in runs[:3]:
        assert set(bench.job_states(run)) <= {_S.FINISHED, _S.FAILED}


def forget(bench: Bench, backup: dict[Any, Any]) -> None:
    """Bring the broker back as it was, under another run id."""
    bench.redis.flushall()
    for key, value in backup.items():
        bench.redis.restore(key, 0, value)
    bench.redis.hset("jobferry:accounts", bench.cluster.lease, "the broker before")
    bench.restart()


@pytest.mark.parametrize("passes", [1, 4, 30])
def test_what_the_broker_forgot_is_read_back_before_anything_is_submitted(
    bench: Bench, passes: int
) -> None:
    bench.world.chances = Chances(task_fails=0.3)
    run = bench.accept(jobs=8)
    bench.ledger.id  # noqa: B018 - it is made on first use
    bench.cluster.memory.announced = False
    backup: dict[Any, Any] = {key: bench.redis.dump(key) for key in bench.redis.keys("*")}
    for _ in range(passes):
        bench.step(5.0)
    forget(bench, backup)
    bench.until_final()
    assert bench.counts(run) == {_S.FINISHED: 8}
    assert not list(bench.world.faults())
