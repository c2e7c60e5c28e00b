"""Runs that two clusters share: on simulated clusters, with a real ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.states import JobState, RunState
from jobferry_worker.reconcile import killpoints
from tests.simulation.bench import Crash
from tests.simulation.fakes import ALPHA, ROOT
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


def test_a_cluster_that_refuses_for_good_leaves_all_of_the_run_to_the_other(twins: Twins) -> None:
    twins.alpha.world.refuses = "invalid partition"
    run = twins.accept(jobs=50, retry_count=0)
    twins.step()
    assert twins.ledger.refused(run) == {ALPHA: "invalid partition"}
    assert twins.ledger.run(run).reason == "alpha takes none of its jobs: invalid partition"
    twins.alpha.world.refuses = ""  # it is not asked again
    twins.until_final()
    assert twins.counts(run) == {_S.FINISHED: 50}
    assert (twins.ran_at(twins.alpha), twins.ran_at(twins.beta)) == (0, 50)
    assert twins.alpha.world.commands.count("submit") == 1
    assert twins.ledger.run(run).reason == ""


def test_a_refusal_in_the_middle_leaves_alone_what_is_out_there(redis: Redis) -> None:
    twins = Twins(redis, World(seed=1, slots=2), World(seed=2, slots=2))
    run = twins.accept(jobs=60)
    twins.steps(20.0, each=1.0)
    twins.alpha.world.refuses = "the partition was removed"
    twins.until_final()
    assert twins.counts(run) == {_S.FINISHED: 60}
    assert 0 < twins.ran_at(twins.alpha) < twins.ran_at(twins.beta)
    assert not list(twins.faults())


def test_jobs_that_every_cluster_refuses_fail_with_the_words_of_each(twins: Twins) -> None:
    twins.alpha.world.refuses, twins.beta.world.refuses = "no such partition", "too many cores"
    run = twins.accept(jobs=7)
    twins.until_final()
    record = twins.ledger.run(run)
    assert (record.state, twins.counts(run)) == (RunState.FAILED, {_S.FAILED: 7})
    words = {job.reason for _, job in twins.ledger.jobs(run)}
    assert words == {"alpha: no such partition; beta: too many cores"}


def test_what_only_the_refusing_cluster_is_left_for_fails_once_the_other_is_given_up(
    twins: Twins,
) -> None:
    twins.alpha.world.refuses = "no such partition"
    twins.beta.works = False
    run = twins.accept(jobs=4)
    twins.steps(30.0)
    assert twins.counts(run) == {_S.PENDING: 4}
    twins.ledger.abandon(run, BETA)
    twins.until_final()
    assert twins.counts(run) == {_S.FAILED: 4}


def abandon_alpha(twins: Twins, **header: Any) -> tuple[Any, int]:
    """Have alpha fall silent with jobs of a run, and give them up; return the run, and how many there were."""
    run = twins.accept(jobs=30, **header)
    twins.steps(4.0, each=1.0)
    twins.alpha.world.reachable = False
    return run, twins.ledger.abandon(run, ALPHA)


def alive(twins: Twins) -> list[str]:
    return [one.id for one in twins.alpha.world.elements.values() if one.state != "ended"]


def test_what_was_given_up_is_ended_once_the_cluster_is_back(redis: Redis) -> None:
    twins = Twins(redis, World(seed=1, slots=4, longest=9000.0), World(seed=2))
    run, given_up = abandon_alpha(twins)
    assert given_up
    twins.until_final()
    assert twins.counts(run) == {_S.FINISHED: 30}
    assert alive(twins)
    assert twins.ledger.places(run)[ALPHA] == "given up"
    twins.alpha.world.reachable = True
    twins.steps(300.0)
    assert not alive(twins)
    assert twins.ledger.strays(ALPHA) == {}
    assert twins.ledger.places(run)[ALPHA] == "remote"
    assert run in twins.ledger.collectable(ALPHA)
    asked = twins.alpha.world.commands.count("list")
    twins.steps(100.0)
    assert twins.alpha.world.commands.count("list") == asked


def test_only_what_was_given_up_is_ended_there(twins: Twins) -> None:
    _, given_up = abandon_alpha(twins)
    assert given_up
    other = twins.accept(jobs=20)
    twins.alpha.world.reachable = True
    twins.until_final()
    assert twins.counts(other) == {_S.FINISHED: 20}
    assert sum(twins.ledger.by_cluster(other)[ALPHA].values()) > 0
    assert not [record for _, record in twins.ledger.jobs(other) if record.attempt > 1]


def test_a_directory_of_a_run_that_was_forgotten_goes_when_its_cluster_is_back(
    redis: Redis,
) -> None:
    twins = Twins(redis, World(seed=1, slots=4, longest=9000.0), World(seed=2))
    run, _ = abandon_alpha(twins)
    twins.until_final()
    twins.ledger.forget(run)
    twins.alpha.world.reachable = True
    assert [path for path in twins.alpha.world.files if run in path]
    twins.steps(300.0)
    assert not alive(twins)
    assert not [path for path in twins.alpha.world.files if path.startswith(f"{ROOT}/{run}/")]
    assert twins.ledger.strays(ALPHA) == {}


def test_a_submit_command_that_ends_after_the_cluster_was_given_up_leaves_no_job(
    redis: Redis,
) -> None:
    worlds = World(seed=1, chances=Chances(submit_delayed=1.0), longest=9000.0), World(seed=2)
    twins = Twins(redis, *worlds)
    run = twins.accept(jobs=8)
    twins.step()
    assert twins.alpha.world.delayed
    assert twins.ledger.abandon(run, ALPHA)
    twins.steps(300.0)
    assert twins.alpha.world.elements == {} or not alive(twins)
    assert not twins.alpha.world.delayed
    assert twins.ledger.strays(ALPHA) == {}
    assert twins.counts(run) == {_S.FINISHED: 8}


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


def forget_since(twins: Twins, backup: dict[Any, Any], run: Any) -> None:
    """Have the broker come back with what it was, under another run id."""
    fences: Any = twins.redis.get("jobferry:fences")
    twins.redis.flushall()
    for key, value in backup.items():
        twins.redis.restore(key, 0, value)
    twins.redis.set("jobferry:fences", fences)
    twins.redis.hset(f"jobferry:run:{run}", "born", "another broker")
    twins.redis.delete(f"jobferry:run:{run}:read")
    for side in twins.sides.values():
        twins.redis.delete(f"jobferry:lease:{side.cluster.lease}")
        twins.redis.hset("jobferry:accounts", side.cluster.lease, "another broker")
        side.restart()


@pytest.mark.parametrize("rests", [False, True])
def test_what_another_cluster_may_have_is_not_cancelled_before_it_has_said_so(
    redis: Redis, rests: bool
) -> None:
    twins = Twins(redis, World(seed=1, slots=1), World(seed=2, slots=1, longest=9000.0))
    twins.steps(10.0)
    twins.alpha.brings = not rests
    run = twins.accept(jobs=6, header={"targets": (BETA, ALPHA)})
    backup = {key: redis.dump(key) for key in redis.keys("*")}
    twins.steps(5.0, each=1.0)
    out = len(twins.ledger.flight(BETA))
    assert out
    forget_since(twins, backup, run)
    twins.beta.works = False
    if rests:  # it has seen that it has nothing, and cannot be reached any more
        twins.steps(10.0)
        twins.alpha.world.reachable = False
    twins.ledger.wish_cancel(run)
    twins.steps(400.0)
    record = twins.ledger.run(run)
    assert not record.state.is_final
    assert "cluster beta has not yet told what it has" in record.reason
    assert f"jobferry abandon {run} --cluster beta" in record.reason
    twins.beta.works = twins.alpha.world.reachable = True
    twins.until_final()
    assert twins.ledger.run(run).state is RunState.CANCELLED
    assert twins.counts(run)[_S.CANCELLED] >= 4
    for side in twins.sides.values():
        assert not [one for one in side.world.elements.values() if one.state != "ended"]
