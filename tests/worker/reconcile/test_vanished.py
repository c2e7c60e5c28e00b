"""Jobs that a listing lacks: asked about by name, before anything is concluded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobferry_common.names import AttemptKey
from jobferry_common.states import JobState, Outcome, RunState
from tests.simulation.bench import Bench
from tests.simulation.fakes import ALPHA, ROOT
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


def test_a_mass_vanishing_pauses_and_an_operators_resume_ends_it(bench: Bench) -> None:
    bench.world.longest = 10_000.0
    run = bench.accept(jobs=30, retry_count=0)
    bench.steps(100)
    bench.world.elements.clear()
    bench.steps(1000)
    assert "30 of 30 jobs vanished" in bench.ledger.cluster(ALPHA).paused
    assert not bench.state(run).is_final
    bench.ledger.set_cluster(ALPHA, paused="", paused_by="operator")
    bench.steps(100)
    assert bench.state(run) is RunState.FAILED
    assert bench.ledger.job(run, 0).outcome is Outcome.LOST
    assert bench.ledger.cluster(ALPHA).paused == ""


def test_jobs_that_had_no_room_for_their_records_are_no_mystery(bench: Bench) -> None:
    bench.world.longest = 10_000.0
    run = bench.accept(jobs=30, retry_count=0)
    bench.steps(100)
    for job, _ in bench.ledger.jobs(run):
        path = f"{ROOT}/{run}/.jobferry/{run}/records/{AttemptKey(job, 1)}"
        bench.world.files[path] = b"jobferry 1\nattempt"[: job % 18]
    bench.world.elements.clear()
    bench.steps(1000)
    assert bench.ledger.cluster(ALPHA).paused == ""
    assert bench.state(run) is RunState.FAILED
    record = bench.ledger.job(run, 0)
    assert record.outcome is Outcome.LOST
    assert "its exit record was cut off" in record.reason


def test_a_mass_vanishing_that_was_a_mistake_resumes_by_itself(bench: Bench) -> None:
    bench.world.longest = 10_000.0
    run = bench.accept(jobs=30)
    bench.steps(100)
    elements = dict(bench.world.elements)
    bench.world.elements.clear()
    bench.steps(600)
    assert bench.ledger.cluster(ALPHA).paused
    bench.world.elements = elements
    bench.until_final()
    assert bench.state(run) is RunState.FINISHED
    assert not list(bench.world.faults())
