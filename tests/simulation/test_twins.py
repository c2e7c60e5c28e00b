"""Storms over two clusters that share runs: nothing is lost, nothing runs twice, and no cluster holds up the other.

A seed that fails shows itself in the test's name; `pytest tests/simulation/test_twins.py -k "seed-17-"` runs it alone.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.states import JobState, RunState
from jobferry_worker.reconcile import killpoints
from tests.simulation.bench import Crash
from tests.simulation.fakes import ALPHA
from tests.simulation.twins import BETA, Side, Twins
from tests.simulation.world import Chances, World

if TYPE_CHECKING:
    from redis import Redis

    from jobferry_common.names import RunId

SEEDS = range(100)


class Storm:
    """Two clusters on which trouble comes by chance, for some time."""

    def __init__(self, redis: Redis, seed: int) -> None:
        self.random = random.Random(seed)
        worlds = [self._world(seed * 2 + number) for number in range(2)]
        profiles: dict[str, dict[str, Any]] = {
            name: self.random.choice([{}, {"max_queued_jobs": 4}]) for name in (ALPHA, BETA)
        }
        self.twins = Twins(redis, *worlds, profiles=profiles)
        self.runs = [self._accept() for _ in range(self.random.randint(1, 4))]
        self._crashes = self.random.choice([0.0, 0.02, 0.1])
        self._backup: dict[Any, Any] | None = None

    def _world(self, seed: int) -> World:
        pick = self.random.choice
        chances = Chances.drawn(pick)
        return World(
            seed=seed,
            chances=chances,
            slots=pick([2, 1000]),
            limit=pick([None, 5]),
            has_history=pick([False, True]),
            keeps=pick([0.0, 60.0, 300.0]),
            max_array=pick([1, 4, 1000]),
            longest=pick([5.0, 30.0, 120.0]),
        )

    def _accept(self) -> RunId:
        placement = self.random.choice(["fair", "fair", "order", {ALPHA: 3.0, BETA: 1.0}])
        return self.twins.accept(
            jobs=self.random.randint(1, 40),
            owner=self.random.choice(["ann@a", "bob@b"]),
            header={"placement": placement, "priority": self.random.choice([0, 0, 5])},
            continue_on_failure=self.random.choice([True, True, False]),
            retry_count=self.random.choice([0, 3]),
            ratio_unfinished=self.random.choice([0.0, 0.0, 0.3]),
        )

    def blow(self, seconds: float) -> None:
        """Let the storm rage for so long."""
        end = self.twins.now + seconds
        while self.twins.now < end and self.twins.ledger.runs(open_only=True):
            self.twins.tick(self.random.choice([0.2, 1.0, 1.0, 5.0, 20.0]))
            self._misfortune()
            for side in self.random.sample([*self.twins.sides.values()], 2):
                if side.works:
                    self._advance(side)

    def _advance(self, side: Side) -> None:
        try:
            with killpoints.trapped(self._perhaps_crash):
                self.twins.advance(side)
        except Crash:
            # the lease of the dead one has to end, unless its death was seen
            self.twins.tick(self.random.choice([0.0, 5.0, 70.0]))
            side.restart()

    def calm(self) -> None:
        """From now on all is well, and all has to end."""
        for side in self.twins.sides.values():
            side.world.chances = Chances()
            side.world.reachable = side.works = side.brings = True
            side.world.refuses = ""
            self.twins.ledger.set_cluster(
                side.name, paused="", paused_by="", failures=0, probe_at=0.0
            )
        for run in self.runs:
            self.twins.ledger.hold(run, held=False)
        self.twins.until_final(each=10.0)

    def _perhaps_crash(self, point: str) -> None:
        assert point in killpoints.POINTS
        if self.random.random() < self._crashes:
            raise Crash(point)

    def _misfortune(self) -> None:
        side, run = self.random.choice([*self.twins.sides.values()]), self.random.choice(self.runs)
        dice = self.random.random()
        if dice < 0.035:
            self._break(side, dice)
        elif dice < 0.065:
            self._order(side, run, dice)
        elif dice < 0.09:
            self._backup = {key: self.twins.redis.dump(key) for key in self.twins.redis.keys("*")}
        elif dice < 0.1 and self._backup is not None:
            self._forget(self._backup)

    def _break(self, side: Side, dice: float) -> None:
        if dice < 0.01:
            side.world.reachable = not side.world.reachable
        elif dice < 0.02:
            side.restart()
        elif dice < 0.03:
            side.works = not side.works
        elif dice < 0.0335:
            side.brings = not side.brings
        else:
            side.world.refuses = "" if side.world.refuses else "no such partition"

    def _order(self, side: Side, run: RunId, dice: float) -> None:
        ledger = self.twins.ledger
        if dice < 0.04:
            ledger.wish_cancel(run)
        elif dice < 0.05:
            ledger.hold(run, held=not ledger.run(run).held)
        elif self.random.random() < 0.5:
            ledger.set_cluster(side.name, paused="service", paused_by="operator")
        else:
            ledger.set_cluster(side.name, paused="", paused_by="")

    def _forget(self, backup: dict[Any, Any]) -> None:
        """The broker comes back with what it was a while ago, under another run id."""
        redis = self.twins.redis
        fences: Any = redis.get("jobferry:fences")
        redis.flushall()
        for key, value in backup.items():
            redis.restore(key, 0, value)
        redis.set("jobferry:fences", fences)
        for run in self.runs:
            redis.hset(f"jobferry:run:{run}", "born", "another broker")
            redis.delete(f"jobferry:run:{run}:read")
        for side in self.twins.sides.values():
            redis.delete(f"jobferry:lease:{side.cluster.lease}")
            redis.hset("jobferry:accounts", side.cluster.lease, "another broker")
            side.cluster.memory.asked_since.clear()
        self._backup = None


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: f"seed-{seed}-")
def test_nothing_is_lost_and_nothing_runs_twice_on_two_clusters(redis: Redis, seed: int) -> None:
    storm = Storm(redis, seed)
    storm.blow(seconds=storm.random.choice([60.0, 300.0, 900.0]))
    storm.calm()
    assert list(storm.twins.faults()) == []
    for run in storm.runs:
        _check_the_end_of(storm.twins, run)


def _check_the_end_of(twins: Twins, run: RunId) -> None:
    record = twins.ledger.run(run)
    assert sum(record.counts.values()) == record.jobs
    ran = {key.job: done for key, done in twins.executions() if key.run == run}
    spread: dict[tuple[str, JobState], int] = {}
    for job, one in twins.ledger.jobs(run):
        assert one.state.is_final
        executions = ran.get(job, [])
        if one.state is JobState.FINISHED:
            assert executions[-1].succeeded
        if one.cluster:
            spread[one.cluster, one.state] = spread.get((one.cluster, one.state), 0) + 1
    found = twins.ledger.by_cluster(run)
    assert {(c, s): n for c, states in found.items() for s, n in states.items()} == spread
    for name in twins.sides:
        assert not [one for one in twins.ledger.flight(name) if one.key.run == run]
        assert run not in twins.ledger.with_claims(name)
    if record.state is RunState.FINISHED:
        ratio = twins.ledger.header(run).policy.ratio_unfinished
        assert record.jobs - record.counts[JobState.FINISHED] <= ratio * record.jobs
