"""A lost ledger, made again from what stands on a simulated cluster; and names that belong to lost runs."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.messages import checkup_key
from jobferry_common.names import RunId
from jobferry_common.scripts.traces import Trace
from jobferry_common.states import JobState, ResultsState, RunState
from jobferry_worker.reconcile import killpoints
from jobferry_worker.transfer import tracing
from jobferry_worker.transfer.move import Move
from tests.common.ledger.documents import document
from tests.simulation.bench import Bench, Crash
from tests.simulation.fakes import ALPHA, ROOT
from tests.simulation.twins import Twins
from tests.simulation.world import Chances, World

if TYPE_CHECKING:
    from redis import Redis

_S = JobState
TRACES = f"{ROOT}/.jobferry/runs/{ALPHA}"
TROUBLE = Chances(
    submit_delayed=0.1, task_fails=0.2, no_record=0.05, hint_lost=0.2, late_record=0.1
)


def accept(bench: Bench, **keywords: Any) -> RunId:
    """Accept a run, and leave on the cluster what its staging leaves."""
    run = bench.accept(**keywords)
    bring(bench, run)
    return run


def bring(bench: Bench, run: RunId) -> Trace | None:
    return tracing.begin(Move(bench.ledger, bench.cluster, run, lambda: None))


def _bring_shared(redis: Redis, world: World, owner: str = "") -> Trace | None:
    """Have an empty broker, and bring the first run that two clusters share to one of them."""
    redis.flushall()
    twins = Twins(redis, world, World(seed=2))
    run = twins.accept(jobs=4, owner=owner)
    return tracing.begin(Move(twins.ledger, twins.alpha.cluster, run, lambda: None))


def lose_all(bench: Bench) -> None:
    """Have an empty broker, and a worker that knows nothing."""
    bench.redis.flushall()
    bench.restart()


class Copy:
    """What the broker has now, to be put back by another process of it."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._content: dict[str, Any] = {
            key: bench.redis.dump(key) for key in map(str, bench.redis.keys("*"))
        }

    def put_back(self) -> None:
        redis = self._bench.redis
        redis.flushall()
        for key, content in self._content.items():
            redis.restore(key, 0, content)
        redis.hset("jobferry:accounts", self._bench.cluster.lease, "the broker before")
        self._bench.restart()


def recover(bench: Bench) -> dict[str, tuple[bool, str]]:
    """Have the cluster recovered; return what was said of each run."""
    bench.ledger.wish_recovery(ALPHA, "ticket")
    bench.step()
    text = bench.redis.get(checkup_key(bench.settings, "ticket"))
    assert text, "no pass recovered it"
    return {row["run"]: (row["ok"], row["what"]) for row in json.loads(str(text))["runs"]}


@pytest.mark.parametrize("seed", range(20))
def test_a_ledger_that_was_lost_at_any_moment_is_made_again(redis: Redis, seed: int) -> None:
    bench = Bench(redis, World(seed=seed, chances=TROUBLE, limit=6, longest=60.0))
    runs = {accept(bench, jobs=5, continue_on_failure=True) for _ in range(3)}
    for _ in range(3):
        bench.steps(bench.world.random.uniform(1.0, 90.0))
        lose_all(bench)
        assert all(ok for ok, _ in recover(bench).values())
        assert {record.id for record in bench.ledger.runs()} == runs
    bench.until_final()
    assert not list(bench.world.faults())
    assert all(sum(bench.counts(run).values()) == 5 for run in runs)
    done = {key: [one.succeeded for one in them] for key, them in bench.world.executions.items()}
    assert len(done) == 15
    for run in runs:
        for job, record in bench.ledger.jobs(run):
            assert (record.state is _S.FINISHED) == any(done[run, job])  # type: ignore[index]


@pytest.mark.parametrize("point", ["after-recovered", "after-rebuilt"])
def test_a_worker_that_dies_while_it_recovers_goes_on(redis: Redis, point: str) -> None:
    bench = Bench(redis, World(seed=1, limit=4, longest=60.0))
    runs = [accept(bench, jobs=4) for _ in range(2)]
    bench.steps(20)
    lose_all(bench)

    def die(here: str) -> None:
        if here == point:
            raise Crash(point)

    bench.ledger.wish_recovery(ALPHA, "first")
    for _ in range(2):
        with killpoints.trapped(die), pytest.raises(Crash):
            bench.step()
        bench.restart()
        bench.world.tick(60)
    recover(bench)
    bench.until_final()
    assert not list(bench.world.faults())
    assert [bench.counts(run) for run in runs] == [{_S.FINISHED: 4}] * 2


def test_what_a_run_took_over_is_not_done_again(bench: Bench) -> None:
    first = accept(bench, jobs=3)
    bench.world.chances = Chances(task_fails=0.0)
    bench.until_final()
    record = bench.ledger.run(first)
    assert record.state is RunState.FINISHED
    redis = bench.redis
    redis.hset(f"jobferry:run:{first}", mapping={"state": "failed", "n:failed": 1, "n:finished": 2})
    redis.hset(f"jobferry:run:{first}:jobs", "2", "failed|1|1|||||1|0.00|")
    second = bench.ledger.accept(document(1, tasks=3)).run
    bench.ledger.change_run(second, staged=True)
    bring(bench, second)
    lose_all(bench)
    recover(bench)
    bench.until_final()
    again = {key.job for key in bench.world.executions if key.run == second}
    assert again == {2}
    assert bench.ledger.run(second).taken_over == 2


def test_another_owner_s_run_does_not_take_the_place_of_a_lost_one(bench: Bench) -> None:
    bench.world.longest = 100_000.0
    lost = accept(bench, jobs=2)
    bench.steps(30)
    lose_all(bench)
    other = document(1, tasks=2, owner="bob@elsewhere", source="/home/bob")
    run = bench.ledger.accept(other).run
    assert run == lost
    assert bench.step().stage == ()
    renamed = bench.ledger.renamed(run)
    assert renamed is not None
    assert renamed.endswith("-2")
    assert bench.ledger.run(renamed).owner == "bob@elsewhere"
    assert bench.step().stage == (renamed,)
    recover(bench)
    assert bench.counts(lost) == {_S.QUEUED: 2}
    assert bench.ledger.run(lost).owner == "alice@laptop"


def test_a_run_that_was_cleaned_keeps_its_number_for_a_while(bench: Bench) -> None:
    run = accept(bench, jobs=1)
    bench.until_final()
    move = Move(bench.ledger, bench.cluster, run, lambda: None)
    bench.ledger.change_run(run, results=ResultsState.DELIVERED)
    tracing.gone(move)
    assert {path for path in bench.world.files if path.startswith(TRACES)} == {
        f"{TRACES}/{run}.gone"
    }
    lose_all(bench)
    new = bench.ledger.accept(document(1, tasks=1)).run
    bench.step()
    assert new == run
    assert str(bench.ledger.renamed(run)).endswith("-2")


def test_a_wished_end_is_remembered_by_the_cluster(bench: Bench) -> None:
    bench.world.longest = 100_000.0
    run = accept(bench, jobs=2)
    bench.steps(30)
    bench.ledger.wish_cancel(run)
    bench.step(0.1)
    lose_all(bench)
    recover(bench)
    bench.until_final()
    assert bench.state(run) is RunState.CANCELLED
    assert not list(bench.world.faults())


def test_a_trace_that_cannot_be_used_stops_its_own_run_alone(bench: Bench) -> None:
    garbled, newer, halved, well = (accept(bench, jobs=1) for _ in range(4))
    files = bench.world.files
    files[f"{TRACES}/{garbled}"] = b"\x00\xff"
    trace = Trace.unpack(files[f"{TRACES}/{newer}"])
    files[f"{TRACES}/{newer}"] = replace(trace, version=99).pack()
    del files[f"{ROOT}/{halved}/.jobferry/{halved}/document/1"]
    lose_all(bench)
    said = recover(bench)
    assert {run: ok for run, (ok, _) in said.items()} == {
        garbled: False,
        newer: False,
        halved: False,
        well: True,
    }
    assert "version 99" in said[newer][1]
    assert Trace.unpack(replace(trace).pack()) == trace
    assert [record.id for record in bench.ledger.runs()] == [well]
    bench.until_final()
    assert bench.state(well) is RunState.FINISHED


def test_jobs_of_which_nothing_else_is_known_are_told_and_left_alone(bench: Bench) -> None:
    bench.world.longest = 100_000.0
    run = bench.accept(jobs=2)
    bench.steps(30)
    lose_all(bench)
    ((ok, what),) = recover(bench).values()
    assert not ok
    assert "left alone" in what
    assert "cancel" not in bench.world.commands
    assert not bench.ledger.holds(run)


def test_a_ledger_that_forgot_a_run_puts_it_back_by_itself(bench: Bench) -> None:
    """A copy of its data was put back: it is the very ledger, and its broker is another process."""
    bench.world.longest = 100_000.0
    known = accept(bench, jobs=1)
    copy = Copy(bench)
    forgotten = accept(bench, jobs=2)
    removed = accept(bench, jobs=1)
    bench.steps(30)
    numbers = bench.redis.hgetall("jobferry:submissions")
    copy.put_back()
    bench.redis.hset("jobferry:submissions", removed[:12], numbers[removed[:12]])
    bench.step()
    assert {record.id for record in bench.ledger.runs()} == {known, forgotten}
    assert bench.counts(forgotten) == {_S.QUEUED: 2}
    assert not list(bench.world.faults())


def test_a_ledger_that_forgot_the_end_of_a_run_takes_it_from_the_cluster(bench: Bench) -> None:
    bench.world.limit = 2
    run = accept(bench, jobs=4, continue_on_failure=True)
    bench.world.chances = Chances(task_fails=1.0)
    bench.steps(20)
    copy = Copy(bench)
    bench.world.chances = Chances()
    bench.until_final()
    counts, executions = bench.counts(run), len(bench.world.executions)
    tracing.gone(Move(bench.ledger, bench.cluster, run, lambda: None))
    copy.put_back()
    for path in [path for path in bench.world.files if path.startswith(f"{ROOT}/{run}/")]:
        del bench.world.files[path]
    bench.step()
    assert bench.counts(run) == counts
    assert bench.ledger.run(run).results is ResultsState.CLEANED
    assert not bench.ledger.flight(ALPHA)
    bench.steps(60)
    assert len(bench.world.executions) == executions


def test_a_shared_run_that_is_presented_again_has_its_files_brought_where_it_was(
    redis: Redis,
) -> None:
    world = World(seed=1)
    lost, again = _bring_shared(redis, world), _bring_shared(redis, world)
    assert lost
    assert again
    assert (again.run, again.destination) == (lost.run, lost.destination)
    assert again.nonce != lost.nonce  # the trace speaks of the run that the ledger has


def test_a_shared_run_of_somebody_else_waits_while_its_name_is_taken(redis: Redis) -> None:
    world = World(seed=1)
    lost, other = _bring_shared(redis, world), _bring_shared(redis, world, owner="bob@b")
    assert lost
    assert other is None
