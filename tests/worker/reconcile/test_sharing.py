"""Runs that two clusters share: on simulated clusters, with a real ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.states import JobState, RunState
from jobferry_worker.reconcile import killpoints
from tests.simulation.bench import Crash
from tests.simulation.fakes import ALPHA
from tests.simulation.twins import BETA, Twins
from tests.simulation.world import Chances, World

if TYPE_CHECKING:
    from redis import Redis

_S = JobState


@pytest.fixture
def twins(redis: Redis) -> Twins:
    """Two clusters with room for four jobs each."""
    return Twins(redis, World(seed=1, slots=4), World(seed=2, slots=4))


def held(twins: Twins, run: Any, name: Any) -> int:
    """Return how many jobs a cluster has claimed and not submitted."""
    return twins.ledger.by_cluster(run).get(name, {}).get(_S.PENDING, 0)


def test_both_clusters_work_and_no_job_runs_twice(twins: Twins) -> None:
    run = twins.accept(jobs=60)
    twins.until_final()
    assert twins.counts(run) == {_S.FINISHED: 60}
    assert twins.ran_at(twins.alpha) + twins.ran_at(twins.beta) == 60
    assert min(twins.ran_at(side) for side in twins.sides.values()) >= 15
    assert not list(twins.faults())


def test_each_cluster_hears_of_its_own_jobs_at_once(twins: Twins) -> None:
    twins.accept(jobs=20)
    twins.until_final()
    for side, other in ((twins.alpha, "/beta"), (twins.beta, "/alpha")):
        scripts = [text for path, text in side.world.files.items() if path.endswith(".sh")]
        spools = [text for text in scripts if b"jf_spool=" in text]
        assert spools
        assert not any(other.encode() in text for text in spools)


def test_a_cluster_claims_only_what_it_has_room_for(twins: Twins) -> None:
    run = twins.accept(jobs=1000)
    twins.step()
    for name in (ALPHA, BETA):
        assert sum(twins.ledger.by_cluster(run)[name].values()) == 16
    assert twins.ledger.pool(run, ALPHA, now=twins.now).open == 1000 - 32


def test_the_faster_cluster_does_more(redis: Redis) -> None:
    twins = Twins(redis, World(seed=1, slots=2), World(seed=2, slots=40))
    run = twins.accept(jobs=300)
    twins.until_final()
    assert twins.counts(run) == {_S.FINISHED: 300}
    assert twins.ran_at(twins.beta) > 4 * twins.ran_at(twins.alpha)


def test_the_last_jobs_are_not_all_claimed_by_who_comes_first(twins: Twins) -> None:
    twins.steps(10.0)
    run = twins.accept(jobs=6)
    twins.advance(twins.alpha)
    assert sum(twins.ledger.by_cluster(run)[ALPHA].values()) == 3
    twins.until_final()
    assert twins.ran_at(twins.beta) > 0


@pytest.mark.parametrize("limits", [{"max_queued_jobs": 3}, {"max_running_jobs": 2}])
def test_the_limits_of_a_profile_hold(redis: Redis, limits: dict[str, Any]) -> None:
    twins = Twins(redis, profiles={ALPHA: limits})
    twins.accept(jobs=200)
    most = 0
    for _ in range(30):
        twins.step(1.0)
        most = max(most, len(twins.ledger.flight(ALPHA)))
    assert 0 < most <= 6
    assert len(twins.ledger.flight(BETA)) > 4


def test_a_cluster_whose_scheduler_is_silent_holds_nothing_for_long(twins: Twins) -> None:
    run = twins.accept(jobs=200)
    twins.step()
    twins.alpha.brings = False
    twins.steps(20.0, each=1.0)
    out = len(twins.ledger.flight(ALPHA))
    assert held(twins, run, ALPHA) > 0
    twins.alpha.world.reachable = False
    twins.steps(200.0)
    assert held(twins, run, ALPHA) == 0
    while twins.counts(run).get(_S.PENDING):
        twins.step(5.0)
    assert len(twins.ledger.flight(ALPHA)) <= out
    twins.alpha.world.reachable = twins.alpha.brings = True
    twins.until_final()
    assert twins.counts(run) == {_S.FINISHED: 200}
    assert not list(twins.faults())


def test_what_a_dead_worker_claimed_is_done_by_the_other_and_what_it_submitted_is_not(
    twins: Twins,
) -> None:
    run = twins.accept(jobs=90)
    twins.step()
    twins.alpha.brings = False
    twins.steps(30.0, each=1.0)
    claimed, out = held(twins, run, ALPHA), len(twins.ledger.flight(ALPHA))
    assert claimed
    twins.alpha.works = False
    twins.steps(30.0)
    assert held(twins, run, ALPHA) == claimed
    twins.steps(600.0)
    record = twins.ledger.run(run)
    assert record.state is RunState.ACTIVE or not out
    assert record.counts[_S.FINISHED] == 90 - out
    twins.alpha.restart()
    twins.alpha.works = twins.alpha.brings = True
    twins.until_final()
    assert twins.counts(run) == {_S.FINISHED: 90}
    assert not list(twins.faults())


def test_a_paused_cluster_claims_nothing_and_gives_back_what_it_has(twins: Twins) -> None:
    run = twins.accept(jobs=300)
    twins.step()
    twins.alpha.brings = False
    twins.steps(30.0, each=1.0)
    assert held(twins, run, ALPHA)
    twins.ledger.set_cluster(ALPHA, paused="service", paused_by="operator")
    twins.steps(30.0)
    assert held(twins, run, ALPHA)
    twins.steps(60.0)
    assert held(twins, run, ALPHA) == 0
    twins.until_final()
    assert not list(twins.faults())


def test_a_retry_stays_where_its_files_are_unless_the_cluster_is_paused(twins: Twins) -> None:
    twins.alpha.world.chances = twins.beta.world.chances = Chances(task_fails=0.5)
    run = twins.accept(jobs=40, retry_count=30)
    places: dict[int, set[str]] = {}
    while twins.ledger.run(run).state in (RunState.ACCEPTED, RunState.ACTIVE):
        twins.step(5.0)
        for job, record in twins.ledger.jobs(run):
            places.setdefault(job, set()).update({record.cluster} - {""})
    assert twins.counts(run) == {_S.FINISHED: 40}
    assert all(len(found) == 1 for found in places.values())
    assert not list(twins.faults())


def test_jobs_that_a_scheduler_turns_away_go_to_the_other(redis: Redis) -> None:
    twins = Twins(redis, World(seed=1, limit=0), World(seed=2))
    run = twins.accept(jobs=50)
    twins.until_final()
    assert twins.counts(run) == {_S.FINISHED: 50}
    assert (twins.ran_at(twins.alpha), twins.ran_at(twins.beta)) == (0, 50)


def test_a_cluster_without_the_required_tags_claims_nothing(redis: Redis) -> None:
    twins = Twins(redis, profiles={BETA: {"tags": ["gpu"]}})
    run = twins.accept(jobs=20, header={"requires": ("gpu",)})
    twins.until_final()
    assert twins.counts(run) == {_S.FINISHED: 20}
    assert twins.ran_at(twins.alpha) == 0


def test_the_first_of_the_order_is_filled_first(redis: Redis) -> None:
    twins = Twins(redis, World(seed=1, slots=100), World(seed=2, slots=100))
    twins.steps(10.0)
    run = twins.accept(jobs=12, header={"placement": "order", "targets": (BETA, ALPHA)})
    twins.advance(twins.alpha)
    assert ALPHA not in twins.ledger.by_cluster(run)
    twins.advance(twins.beta)
    assert sum(twins.ledger.by_cluster(run)[BETA].values()) == 12
    twins.until_final()
    assert twins.ran_at(twins.beta) == 12


def test_what_the_better_liked_cluster_does_not_take_the_other_one_takes(twins: Twins) -> None:
    twins.steps(10.0)
    run = twins.accept(jobs=10, header={"placement": "order"})
    twins.alpha.works = False
    twins.steps(100.0)
    assert twins.counts(run) == {_S.FINISHED: 10}


def test_weights_decide_who_takes_more(redis: Redis) -> None:
    twins = Twins(redis, World(seed=1, slots=8), World(seed=2, slots=8))
    run = twins.accept(jobs=200, header={"placement": {ALPHA: 9.0, BETA: 1.0}})
    twins.step()
    at = twins.ledger.by_cluster(run)
    assert sum(at[ALPHA].values()) >= sum(at.get(BETA, {}).values())
    twins.until_final()
    assert twins.ran_at(twins.alpha) + twins.ran_at(twins.beta) == 200


def test_a_cancelled_run_ends_at_both(twins: Twins) -> None:
    run = twins.accept(jobs=100)
    twins.steps(10.0, each=1.0)
    twins.ledger.wish_cancel(run)
    twins.until_final()
    assert twins.ledger.run(run).state is RunState.CANCELLED
    for side in twins.sides.values():
        assert not [one for one in side.world.elements.values() if one.state != "ended"]


def test_who_ends_a_run_has_the_other_cluster_look_for_its_results(twins: Twins) -> None:
    twins.accept(jobs=30)
    told: set[str] = set()
    while twins.ledger.runs(open_only=True):
        twins.tick(1.0)
        for side in (twins.alpha, twins.beta):
            told.update(twins.advance(side).others)
    assert len(told) == 1


def test_a_failing_run_ends_at_both(twins: Twins) -> None:
    twins.alpha.world.chances = Chances(task_fails=1.0)
    run = twins.accept(jobs=100, retry_count=0)
    twins.until_final()
    assert twins.ledger.run(run).state is RunState.FAILED
    assert not list(twins.faults())


def test_owners_share_what_clusters_share(twins: Twins) -> None:
    large = twins.accept(jobs=500, owner="ann@a")
    twins.steps(20.0, each=1.0)
    small = twins.accept(jobs=4, owner="bob@b")
    while not twins.ledger.run(small).state.is_final:
        twins.step(5.0)
    assert twins.ledger.run(large).counts[_S.PENDING] > 0


@pytest.mark.parametrize("point", killpoints.POINTS)
def test_a_worker_that_is_killed_anywhere_loses_nothing_that_is_shared(
    redis: Redis, point: str
) -> None:
    chances = Chances(submit_delayed=0.3, task_fails=0.2, no_record=0.1)
    worlds = [World(seed=seed, chances=chances, slots=3) for seed in (3, 4)]
    twins = Twins(redis, *worlds)
    runs = [twins.accept(jobs=12, continue_on_failure=True) for _ in range(3)]
    deaths = 0

    def die(here: str) -> None:
        nonlocal deaths
        deaths += here == point
        if here == point and deaths <= 4:
            raise Crash(point)

    for step in range(60):
        twins.tick(5.0)
        if step == 5:
            twins.ledger.wish_cancel(runs[2])
        for side in twins.sides.values():
            try:
                with killpoints.trapped(die):
                    twins.advance(side)
            except Crash:
                side.restart()
    twins.until_final()
    assert not list(twins.faults())
    for run in runs[:2]:
        assert set(twins.counts(run)) <= {_S.FINISHED, _S.FAILED}
