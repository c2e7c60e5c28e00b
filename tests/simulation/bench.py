"""A worker's core on a simulated cluster with a real ledger: passes, crashes, restarts.

bench = Bench(redis, World(seed=7))
run = bench.accept(jobs=20)
bench.until_final()
assert bench.counts(run) == {JobState.FINISHED: 20}
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jobferry_common.document import Policy
from jobferry_common.ledger import Ledger
from jobferry_common.settings import Settings, Timings
from jobferry_common.states import JobState, RunState
from jobferry_worker.reconcile.advance import Report, advance
from tests.common.ledger.documents import document
from tests.simulation.fakes import ALPHA, cluster_of
from tests.simulation.world import World

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis import Redis

    from jobferry_common.names import RunId

TIMINGS = Timings(look_seconds=10.0, grace_seconds=180.0, lease_seconds=30.0, command_seconds=40.0)


class Crash(BaseException):
    """The worker is killed here."""


class QuickLedger(Ledger):
    """The ledger, without waiting for the broker's disk."""

    def settle(self) -> bool:
        return True


class Bench:
    """One worker, its ledger and its cluster."""

    def __init__(self, redis: Redis, world: World | None = None, **profile: Any) -> None:
        self.world = world or World()
        self.redis = redis
        self.ledger = QuickLedger(redis, clock=self.world.clock)
        self.settings = Settings(timings=TIMINGS)
        self._profile = profile
        self._number = 0
        self.restart()

    def restart(self) -> None:
        """Start the worker afresh: it remembers nothing."""
        self.cluster = cluster_of(self.world, self.settings, **self._profile)

    def accept(
        self,
        jobs: int = 3,
        *,
        group: int = 1,
        staged: bool = True,
        owner: str = "",
        wait_time: float = 0.0,
        asked: Mapping[str, Any] | None = None,
        **policy: Any,
    ) -> RunId:
        """Accept a submission of so many jobs."""
        self._number += 1
        header = {"owner": owner} if owner else {}
        given = document(
            self._number, tasks=jobs * group, group=group, policy=Policy(**policy), **header
        )
        more = {**(asked or {}), **({"wait_time": wait_time} if wait_time else {})}
        if more:
            resources = given.header.resources.model_copy(update=more)
            given = replace(given, header=replace(given.header, resources=resources))
        run = self.ledger.accept(given).run
        if staged:
            self.ledger.change_run(run, staged=True)
        return run

    def advance(self) -> Report:
        """Make one pass, here and now."""
        return advance(self.ledger, self.cluster, self.settings, self.world.clock)

    def step(self, seconds: float = 1.0) -> Report:
        """Let time pass, then make a pass."""
        self.world.tick(seconds)
        return self.advance()

    def steps(self, seconds: float, each: float = 5.0) -> None:
        """Make passes for so long."""
        end = self.world.now + seconds
        while self.world.now < end:
            self.step(each)

    def until_final(self, *, each: float = 5.0, most: float = 20_000.0) -> None:
        """Make passes until every run has ended."""
        end = self.world.now + most
        while self.ledger.open_runs(ALPHA):
            if self.world.now > end:
                msg = f"not final: {[self.ledger.run(run) for run in self.ledger.open_runs(ALPHA)]}"
                raise AssertionError(msg)
            self.step(each)

    def state(self, run: RunId) -> RunState:
        return self.ledger.run(run).state

    def counts(self, run: RunId) -> dict[JobState, int]:
        """Return how many jobs are in each state, where there are any."""
        return {state: count for state, count in self.ledger.run(run).counts.items() if count}

    def job_states(self, run: RunId) -> list[JobState]:
        return [record.state for _, record in self.ledger.jobs(run)]
