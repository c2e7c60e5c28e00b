"""Clocks that jump, clusters that answer in another's place, roots that are not mounted: none of it costs a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobferry_common.errors import StagingError
from jobferry_common.states import JobState
from jobferry_worker.reconcile.advance import advance
from jobferry_worker.reconcile.root import see_root
from tests.simulation.bench import Bench
from tests.simulation.fakes import ALPHA
from tests.simulation.world import Chances, World

if TYPE_CHECKING:
    from redis import Redis


def test_a_clock_that_jumps_does_not_use_up_the_patience_with_a_job(redis: Redis) -> None:
    world = World(seed=1, chances=Chances(vanishes=1.0, late_record=1.0), longest=3.0)
    bench = Bench(redis, world)
    run = bench.accept(jobs=1)
    bench.steps(60.0, each=5.0)
    assert bench.counts(run) == {JobState.QUEUED: 1}
    for _ in range(3):
        world.tick(1.0)
        bench.cluster.memory.look_at = 0.0
        # less than what counts as an interruption
        advance(bench.ledger, bench.cluster, bench.settings, lambda: world.now + 150.0, world.clock)
    assert bench.counts(run) == {JobState.QUEUED: 1}


def test_a_clock_that_was_set_back_does_not_keep_the_scheduler_from_being_asked(
    redis: Redis,
) -> None:
    bench = Bench(redis, World(seed=1, longest=900.0))
    bench.accept(jobs=1)
    bench.steps(20.0)
    bench.cluster.memory.look_at = bench.world.now + 4000.0
    bench.cluster.memory.quiet = None
    asked = bench.world.commands.count("list")
    bench.step()
    assert bench.world.commands.count("list") == asked + 1


def test_a_worker_that_learned_another_clusters_name_unlearns_it(redis: Redis) -> None:
    bench = Bench(redis, World(seed=1))
    bench.world.cluster_name = "elsewhere"
    bench.advance()
    bench.world.cluster_name = "far"
    run = bench.accept(jobs=2)
    bench.steps(60.0)
    bench.ledger.set_cluster(ALPHA, paused="", paused_by="operator", failures=0, probe_at=0.0)
    bench.until_final()
    assert bench.counts(run) == {JobState.FINISHED: 2}


def test_a_name_that_was_heard_before_is_asked_for_again(redis: Redis) -> None:
    bench = Bench(redis, World(seed=1))
    bench.world.cluster_name = "elsewhere"
    bench.advance()
    bench.world.cluster_name = "far"
    bench.ledger.remember(f"scheduler of {ALPHA}", broker="far")
    bench.advance()
    assert bench.ledger.remembered(f"scheduler of {ALPHA}") == "far"


def test_files_are_moved_only_where_the_known_root_is_seen(redis: Redis) -> None:
    bench = Bench(redis, World(seed=1))
    see_root(bench.ledger, bench.cluster)  # nothing is known of it yet
    bench.advance()
    see_root(bench.ledger, bench.cluster)
    bench.world.bare = {}
    with pytest.raises(StagingError, match="mounted"):
        see_root(bench.ledger, bench.cluster)
