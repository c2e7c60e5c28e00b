"""A day of traffic leaves nothing that grows: as many keys at its end as in its morning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobferry_common.states import ResultsState, RunState
from tests.simulation.bench import Bench
from tests.simulation.fakes import ALPHA
from tests.simulation.world import World

if TYPE_CHECKING:
    from redis import Redis

HOUR = 3600.0
MINUTE = 60.0
#: grows by some bytes for each submission, and is kept for 90 days: see docs/reliability.md
NUMBERS = ("jobferry:submissions", "jobferry:removed")


def hour(bench: Bench, *, runs: int) -> None:
    """Have an hour of traffic: runs come, end, and their results are brought."""
    for _ in range(int(HOUR / MINUTE)):
        for _ in range(runs):
            bench.accept(jobs=1)
        bench.step(MINUTE)
        for run in bench.ledger.collectable(ALPHA):
            while jobs := bench.ledger.to_collect(run):
                bench.ledger.collected(run, jobs)
            if bench.ledger.run(run).state is RunState.FINISHED:
                bench.ledger.change_run(run, results=ResultsState.CLEANED)
                bench.ledger.collected(run, ())


def sizes(redis: Redis) -> tuple[int, int]:
    """Return the number of keys, and of entries in those that hold many of a kind."""
    keys = sorted(set(map(str, redis.keys("*"))) - set(NUMBERS))
    counts = {"hash": redis.hlen, "set": redis.scard, "zset": redis.zcard}
    shared = [key for key in keys if ":run:" not in key]
    kinds = {key: str(redis.type(key)) for key in shared}
    return len(keys), sum(int(counts[kind](key)) for key, kind in kinds.items() if kind in counts)


def test_a_day_of_traffic_leaves_nothing_that_grows(redis: Redis) -> None:
    bench = Bench(redis, World(seed=5))
    bench.settings = bench.settings.model_copy(update={"keep_days": 1 / 24})
    bench.restart()
    for _ in range(3):
        hour(bench, runs=2)
    keys, entries = sizes(redis)
    remembered = bench.cluster.memory.size
    for _ in range(21):
        hour(bench, runs=2)
    after = sizes(redis)
    assert not list(bench.world.faults())
    assert len(bench.world.executions) > 2000
    assert after[0] <= keys * 1.1
    assert after[1] <= entries * 1.1
    assert bench.cluster.memory.size <= max(remembered, 2000)
    assert int(redis.xlen("jobferry:events")) < 12_000
    assert int(redis.hlen("jobferry:submissions")) == 2 * 24 * 60


def test_nothing_expires_before_its_results_are_back(redis: Redis) -> None:
    bench = Bench(redis)
    bench.settings = bench.settings.model_copy(update={"keep_days": 1.0})
    waits, done = bench.accept(), bench.accept()
    bench.until_final()
    bench.ledger.change_run(done, results=ResultsState.DELIVERED)
    bench.world.now += 2 * 24 * HOUR
    bench.step()
    assert [record.id for record in bench.ledger.runs()] == [waits]
    assert bench.ledger.was_removed(done)
    bench.world.now += 100 * 24 * HOUR
    bench.step()
    assert not bench.ledger.was_removed(done)
    assert bench.ledger.holds(waits)
