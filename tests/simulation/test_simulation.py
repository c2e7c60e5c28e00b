"""Seeded storms: everything that can go wrong goes wrong, and at the end nothing is lost and nothing ran twice.

A seed that fails shows itself in the test's name; `pytest tests/simulation -k "seed-17"` runs it alone.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.names import JobKey
from jobferry_common.states import JobState, RunState
from jobferry_worker.reconcile import killpoints
from tests.simulation.bench import Bench, Crash
from tests.simulation.fakes import ALPHA
from tests.simulation.world import Chances, World

if TYPE_CHECKING:
    from redis import Redis

    from jobferry_common.names import RunId

SEEDS = range(200)


class Storm:
    """A bench on which trouble comes by chance, for some time."""

    def __init__(self, redis: Redis, seed: int) -> None:
        self.random = random.Random(seed)
        self.world = World(seed=seed, chances=Chances.drawn(self.random.choice), **self._world())
        self.bench = Bench(redis, self.world, **self._profile())
        self.bench.world.longest = self.random.choice([5.0, 30.0, 120.0])
        self.runs = [self._accept() for _ in range(self.random.randint(1, 4))]
        self._backup: dict[Any, Any] | None = None
        self._crashes = self.random.choice([0.0, 0.02, 0.1])

    def _world(self) -> dict[str, Any]:
        pick = self.random.choice
        return {
            "slots": pick([2, 1000]),
            "limit": pick([None, 5]),
            "has_history": pick([False, True]),
            "has_inquiry": pick([False, True]),
            "keeps": pick([0.0, 60.0, 300.0]),
            "max_array": pick([1, 4, 1000]),
        }

    def _profile(self) -> dict[str, int]:
        return self.random.choice([{}, {"max_queued_jobs": 4}])

    def _accept(self) -> RunId:
        return self.bench.accept(
            jobs=self.random.randint(1, 12),
            group=self.random.choice([1, 3]),
            owner=self.random.choice(["ann@a", "bob@b"]),
            continue_on_failure=self.random.choice([True, True, False]),
            retry_count=self.random.choice([0, 3]),
            ratio_unfinished=self.random.choice([0.0, 0.0, 0.3]),
        )

    def blow(self, seconds: float) -> None:
        """Let the storm rage for so long."""
        end = self.world.now + seconds
        while self.world.now < end and self.bench.ledger.open_runs(ALPHA):
            self.world.tick(self.random.choice([0.2, 1.0, 1.0, 5.0, 20.0]))
            self._misfortune()
            try:
                with killpoints.trapped(self._perhaps_crash):
                    self.bench.advance()
            except Crash:
                # the lease of the dead one has to end, unless its death was seen
                self.world.tick(self.random.choice([0.0, 5.0, 70.0]))
                self.bench.restart()

    def calm(self) -> None:
        """From now on all is well, and all has to end."""
        self.world.chances = Chances()
        self.world.reachable = True
        self.bench.until_final(each=10.0, most=30_000.0)

    def _perhaps_crash(self, point: str) -> None:
        assert point in killpoints.POINTS
        if self.random.random() < self._crashes:
            raise Crash(point)

    def _misfortune(self) -> None:
        dice = self.random.random()
        if dice < 0.01:
            self.world.reachable = not self.world.reachable
        elif dice < 0.02:
            self.bench.ledger.wish_cancel(self.random.choice(self.runs))
        elif dice < 0.03:
            self.bench.restart()
        elif dice < 0.06:
            self._backup = self._dump()
        elif dice < 0.07 and self._backup is not None:
            self._forget(self._backup)

    def _dump(self) -> dict[Any, Any]:
        redis = self.bench.redis
        return {key: redis.dump(key) for key in redis.keys("*")}

    def _forget(self, backup: dict[Any, Any]) -> None:
        """The broker comes back with what it was a while ago, under another run id."""
        redis = self.bench.redis
        fences: Any = redis.get("jobferry:fences")
        redis.flushall()
        for key, value in backup.items():
            redis.restore(key, 0, value)
        redis.set("jobferry:fences", fences)
        redis.delete("jobferry:lease:cluster/alpha")
        redis.hset("jobferry:accounts", "cluster/alpha", "another broker")
        self._backup = None


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: f"seed-{seed}")
def test_nothing_is_lost_and_nothing_runs_twice(redis: Redis, seed: int) -> None:
    storm = Storm(redis, seed)
    storm.blow(seconds=storm.random.choice([60.0, 300.0, 900.0]))
    storm.calm()
    assert list(storm.world.faults()) == []
    for run in storm.runs:
        _check_the_end_of(storm, run)


def _check_the_end_of(storm: Storm, run: RunId) -> None:
    record = storm.bench.ledger.run(run)
    assert sum(record.counts.values()) == record.jobs
    for job, job_record in storm.bench.ledger.jobs(run):
        assert job_record.state.is_final
        executions = storm.world.executions.get(JobKey(run, job), [])
        if job_record.state is JobState.FINISHED:
            assert executions[-1].succeeded
        assert len(executions) <= job_record.attempt + _restarts(executions)
    if record.state is RunState.FINISHED:
        view = storm.bench.ledger.header(run).policy.ratio_unfinished
        assert record.jobs - record.counts[JobState.FINISHED] <= view * record.jobs


def _restarts(executions: list[Any]) -> int:
    """Return how often the scheduler itself started an attempt again."""
    return len(executions) - len({execution.attempt for execution in executions})
