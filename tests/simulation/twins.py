"""Two simulated clusters, each with a worker of its own, on one ledger: they share runs.

twins = Twins(redis)
run = twins.accept(jobs=20)
twins.until_final()
assert list(twins.faults()) == []
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from jobferry_common.document import Policy
from jobferry_common.names import ClusterName
from jobferry_common.settings import Settings
from jobferry_common.states import JobState
from jobferry_worker.reconcile.advance import Report, advance
from tests.common.ledger.documents import document
from tests.simulation.bench import TIMINGS, QuickLedger
from tests.simulation.fakes import ALPHA, cluster_of
from tests.simulation.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from redis import Redis

    from jobferry_common.names import RunId
    from tests.simulation.world import Execution

BETA: Final = ClusterName("beta")


class Side:
    """One cluster and its worker."""

    def __init__(self, name: ClusterName, world: World, settings: Settings, **profile: Any) -> None:
        self.name = name
        self.world = world
        self.works = True  #: False: its worker is dead
        self.brings = True  #: False: files cannot be brought there
        self._settings = settings
        self._profile = profile
        self.restart()

    def restart(self) -> None:
        """Start its worker afresh: it remembers nothing."""
        account = f"sim@{self.name}"
        self.cluster = cluster_of(
            self.world, self._settings, name=self.name, account=account, **self._profile
        )


class Twins:
    """Two clusters that share runs."""

    def __init__(
        self, redis: Redis, *worlds: World, profiles: dict[str, dict[str, Any]] | None = None
    ) -> None:
        self.redis = redis
        one, other = worlds or (World(seed=1), World(seed=2))
        self.settings = Settings(timings=TIMINGS)
        self.ledger = QuickLedger(redis, clock=one.clock)
        given = profiles or {}
        self.sides = {
            name: Side(name, world, self.settings, **given.get(name, {}))
            for name, world in ((ALPHA, one), (BETA, other))
        }
        self.alpha, self.beta = self.sides[ALPHA], self.sides[BETA]
        self._number = 0

    def accept(
        self,
        jobs: int = 10,
        *,
        owner: str = "",
        header: Any = None,
        asked: Mapping[str, Any] | None = None,
        **policy: Any,
    ) -> RunId:
        """Accept a submission of so many jobs that both clusters share."""
        self._number += 1
        given = {"targets": (ALPHA, BETA), **(header or {}), **({"owner": owner} if owner else {})}
        chosen = document(self._number, tasks=jobs, policy=Policy(**policy), **given)
        resources = chosen.header.resources.model_copy(update=asked or {})
        chosen = replace(chosen, header=replace(chosen.header, resources=resources))
        return self.ledger.accept(chosen).run

    @property
    def now(self) -> float:
        return self.alpha.world.now

    def tick(self, seconds: float) -> None:
        """Let time pass at both."""
        for side in self.sides.values():
            side.world.tick(seconds)

    def advance(self, side: Side) -> Report:
        """Make one pass of one cluster, and bring the files of what it has claimed."""
        report = advance(self.ledger, side.cluster, self.settings, side.world.clock)
        for run in report.stage if side.brings else ():
            self.ledger.staged(run, side.name, self.ledger.claimed(run, side.name))
        return report

    def step(self, seconds: float = 1.0) -> None:
        """Let time pass, then make a pass of each worker that lives, and one more for what was brought."""
        self.tick(seconds)
        for side in self.sides.values():
            for _ in range(2 * side.works):
                self.advance(side)

    def steps(self, seconds: float, each: float = 5.0) -> None:
        end = self.now + seconds
        while self.now < end:
            self.step(each)

    def until_final(self, *, each: float = 5.0, most: float = 30_000.0) -> None:
        """Make passes until every run has ended."""
        end = self.now + most
        while runs := self.ledger.runs(open_only=True):
            if self.now > end:
                msg = f"not final: {[(run, dict(self.ledger.by_cluster(run.id))) for run in runs]}"
                raise AssertionError(msg)
            self.step(each)

    def counts(self, run: RunId) -> dict[JobState, int]:
        return {state: count for state, count in self.ledger.run(run).counts.items() if count}

    def executions(self) -> Iterator[tuple[Any, list[Execution]]]:
        """Yield what ran of each job, wherever it ran, in order."""
        keys = {key for side in self.sides.values() for key in side.world.executions}
        for key in sorted(keys):
            found = [
                one for side in self.sides.values() for one in side.world.executions.get(key, ())
            ]
            yield key, sorted(found, key=lambda one: one.start)

    def ran_at(self, side: Side) -> int:
        """Return how many jobs ever ran at a cluster."""
        return len(side.world.executions)

    def faults(self) -> Iterator[str]:
        """Return each breach of what jobferry promises, over both clusters."""
        for key, done in self.executions():
            for one, other in pairwise(done):
                if one.end is None or other.start < one.end:
                    yield f"{key} ran twice at once: {one} and {other}"
                if one.succeeded:
                    yield f"{key} ran again after it succeeded: {one} and {other}"
