"""Hints that were read leave the spool of a far cluster many at a time, and count as nothing new until then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobferry_common.states import JobState
from tests.simulation.bench import Bench
from tests.simulation.world import World

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis import Redis

_SSH = {"context_type": "SSH", "remote_profile": {"hostname": "far"}}


class Removals:
    """How many commands removed hints, and what."""

    def __init__(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[list[str]] = []
        host = bench.cluster.host
        remove = host.remove

        def noted(paths: Iterable[str]) -> None:
            some = list(paths)
            if any("/spool/" in path for path in some):
                self.calls.append(some)
            remove(some)

        monkeypatch.setattr(host, "remove", noted)


def lying(bench: Bench) -> list[str]:
    return [path for path in bench.world.files if "/spool/" in path]


def test_hints_leave_a_far_spool_with_few_commands(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(redis, World(seed=3, longest=60.0), **_SSH)
    removals = Removals(bench, monkeypatch)
    run = bench.accept(jobs=40)
    bench.until_final(each=1.0)
    bench.step()
    assert bench.counts(run) == {JobState.FINISHED: 40}
    assert not lying(bench)
    assert sum(map(len, removals.calls)) == 40
    assert len(removals.calls) <= 6


def test_they_leave_at_once_where_it_costs_nothing(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(redis, World(seed=3, longest=60.0))
    removals = Removals(bench, monkeypatch)
    bench.accept(jobs=40)
    bench.until_final(each=1.0)
    assert not lying(bench)
    assert len(removals.calls) > 6


def test_what_lies_there_is_no_news(redis: Redis) -> None:
    bench = Bench(redis, World(seed=3, longest=500.0), **_SSH)
    bench.accept(jobs=20)
    bench.accept(jobs=20)
    for _ in range(500):
        bench.step()
        if bench.cluster.memory.lying and bench.cluster.memory.quiet:
            break
    assert lying(bench)
    assert bench.cluster.memory.quiet is not None


def test_a_worker_that_starts_anew_removes_what_lies_there(redis: Redis) -> None:
    bench = Bench(redis, World(seed=3, longest=60.0), **_SSH)
    run = bench.accept(jobs=20)
    while not bench.cluster.memory.lying:
        bench.step()
    bench.restart()
    bench.until_final(each=1.0)
    bench.step()
    assert bench.counts(run) == {JobState.FINISHED: 20}
    assert not lying(bench)


def test_a_broker_that_forgot_has_hints_read_again(redis: Redis) -> None:
    bench = Bench(redis, World(seed=3, longest=60.0), **_SSH)
    bench.accept(jobs=20)
    while not bench.cluster.memory.lying:
        bench.step()
    bench.cluster.memory.serve("another")
    assert not bench.cluster.memory.lying
