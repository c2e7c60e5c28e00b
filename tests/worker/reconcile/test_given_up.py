"""Of runs that two clusters share: what one refuses, what was given up, and what the broker forgot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.states import JobState, RunState
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
