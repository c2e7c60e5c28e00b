"""Jobs that a listing lacks: asked about by name, before anything is concluded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobferry_common.states import JobState, Outcome, RunState
from tests.simulation.bench import Bench
from tests.simulation.fakes import ALPHA
from tests.simulation.world import World

if TYPE_CHECKING:
    from redis import Redis

    from jobferry_common.names import RunId

_S = JobState


def out(redis: Redis, jobs: int = 3) -> tuple[Bench, RunId]:
    """Have a long run out, on a cluster that can be asked about its jobs by name."""
    bench = Bench(redis, World(has_inquiry=True, longest=10_000.0))
    run = bench.accept(jobs=jobs, retry_count=0)
    bench.steps(100)
    return bench, run


def test_a_listing_that_is_wrongly_empty_loses_nothing(redis: Redis) -> None:
    bench, run = out(redis)
    before = bench.counts(run)
    bench.world.blind = True
    bench.steps(1000)
    assert bench.counts(run) == before
    bench.world.blind = False
    bench.until_final()
    assert bench.state(run) is RunState.FINISHED
    assert not list(bench.world.faults())


def test_one_look_costs_one_question_more_at_most(redis: Redis) -> None:
    bench, _ = out(redis)
    bench.world.blind = True
    bench.world.commands.clear()
    bench.steps(1000)
    assert 0 < bench.world.commands.count("inquire") <= bench.world.commands.count("list")


def test_a_job_that_is_unknown_by_name_is_lost_after_the_grace(redis: Redis) -> None:
    bench, run = out(redis)
    bench.world.elements.clear()
    bench.steps(170)
    assert not bench.state(run).is_final
    bench.steps(130)
    assert {record.outcome for _, record in bench.ledger.jobs(run)} == {Outcome.LOST}


def test_elements_that_others_cancelled_while_they_waited_are_told_at_once(redis: Redis) -> None:
    bench = Bench(redis, World(has_inquiry=True, longest=10_000.0, slots=1))
    run = bench.accept(jobs=30, retry_count=0, continue_on_failure=True)
    bench.steps(100)
    waiting = [key for key, one in bench.world.elements.items() if one.state == "queued"][:20]
    for key in waiting:
        del bench.world.elements[key]
    bench.steps(70)  # the next look
    assert not bench.ledger.cluster(ALPHA).paused
    ended = [record for _, record in bench.ledger.jobs(run) if record.state is _S.FAILED]
    assert {record.outcome for record in ended} == {Outcome.CANCELLED}
    assert len(ended) == 20
