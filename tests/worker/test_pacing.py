"""Results that come over a link are fetched in rounds: the first at once, the last as soon as the run ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobferry_common.names import RunId
from jobferry_common.settings import Settings
from jobferry_common.states import ResultsState
from jobferry_worker import pacing, served
from jobferry_worker.cluster import Cluster
from jobferry_worker.pacing import Pacing
from jobferry_worker.reconcile.advance import Report
from jobferry_worker.service import Service
from jobferry_worker.watch import Rhythm, Watch
from tests.common.ledger.documents import ALPHA
from tests.worker.transfer.moving import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from redis import Redis

    from jobferry_common.ledger import Ledger

ONE, OTHER = RunId("5e7-1"), RunId("5e8-1")


class Clock:
    """A clock that somebody moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_rests_grow_while_jobs_keep_ending(clock: Clock) -> None:
    paced = Pacing(clock)
    rests = []
    for _ in range(5):
        assert paced.may(ONE)
        paced.begin(ONE)
        assert not paced.may(ONE)
        rests.append(paced.left([ONE]))
        clock.now += rests[-1] or 0.0
    assert rests == [5, 10, 20, 30, 30]


def test_rests_are_short_again_once_nothing_came_for_long(clock: Clock) -> None:
    paced = Pacing(clock)
    for _ in range(4):
        paced.begin(ONE)
        clock.now += paced.left([ONE]) or 0.0
    clock.now += 60
    paced.begin(ONE)
    assert paced.left([ONE]) == 5


def test_each_run_has_its_own_rests(clock: Clock) -> None:
    paced = Pacing(clock)
    paced.begin(ONE)
    clock.now = 1.5
    assert paced.may(OTHER)
    paced.begin(OTHER)
    assert paced.left([OTHER, ONE]) == 3.5
    assert paced.left([OTHER]) == 5
    assert paced.left([]) is None


@pytest.fixture
def world(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A run on a cluster that is taken for one behind a link."""
    monkeypatch.setattr(Cluster, "is_far", property(lambda _: True))
    world = World(ledger, tmp_path)
    world.stage()
    return world


@pytest.fixture
def looking(
    world: World, redis: Redis, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Service]:
    """A worker whose passes find nothing but results to be brought."""

    def found(*_: object) -> Report:
        return Report(next_look=None, collect=tuple(world.ledger.collectable(ALPHA)))

    monkeypatch.setattr(served, "advance", found)
    monkeypatch.setattr(pacing.Pacing.__init__, "__defaults__", (clock,))
    serving = Service(Settings(clusters={ALPHA: world.cluster.profile}), redis)
    yield serving
    serving.stop()


def test_results_rest_while_a_run_goes_on_and_never_once_it_ended(
    world: World, looking: Service, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed: list[Rhythm | None] = []
    monkeypatch.setattr(Watch, "follow", lambda _, rhythm: followed.append(rhythm))
    world.succeed(0)
    looking.look(ALPHA)
    assert (world.back("task.0/out"), followed) == (True, [None])
    world.succeed(1)
    looking.look(ALPHA)
    assert not world.back("task.1/out")
    assert followed[-1] == Rhythm(next_look=5, spool=5)
    clock.now = 5
    looking.look(ALPHA)
    assert world.back("task.1/out")
    world.succeed(2)
    looking.look(ALPHA)
    assert not world.back("task.2/out")
    assert followed[-1] == Rhythm(next_look=10, spool=10)
    world.end()
    looking.look(ALPHA)
    assert world.back("task.2/out")
    assert world.record.results is ResultsState.CLEANED


def test_what_ends_during_a_round_comes_with_the_next_unless_it_is_the_last(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    brought = type(world.ledger).collected

    def meanwhile(ledger: Ledger, *words: object, **names: object) -> int:
        left = int(brought(ledger, *words, **names))  # type: ignore[arg-type]
        if not left and (job := next(todo, None)) is not None:
            world.succeed(job)
            if job == 2:
                world.end()
        return left

    monkeypatch.setattr(type(world.ledger), "collected", meanwhile)
    todo = iter([1, 2])
    world.succeed(0)
    world.collect()
    assert (world.back("task.0/out"), world.ledger.to_collect(world.run)) == (True, [1])
    world.collect()
    assert (world.back("task.1/out"), world.back("task.2/out")) == (True, True)
    assert world.record.results is ResultsState.CLEANED
