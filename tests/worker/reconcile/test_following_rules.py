"""Rules for jobs that fail are followed: on a simulated cluster, with a real ledger, whoever dies meanwhile."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.document import Policy
from jobferry_common.ledger.asks import Asks
from jobferry_common.ledger.records import JobRecord
from jobferry_common.models.failures import OnFailure
from jobferry_common.names import ClusterName
from jobferry_common.states import JobState, Outcome
from jobferry_worker.reconcile import killpoints
from jobferry_worker.reconcile.actions import SubmitJobs
from jobferry_worker.reconcile.plan import plan
from jobferry_worker.reconcile.snapshot import Hold, RunView, Snapshot
from tests.simulation.bench import Bench, Crash
from tests.simulation.fakes import ALPHA
from tests.simulation.twins import Twins
from tests.simulation.world import Chances, World
from tests.worker.reconcile.snapshots import NOW, RUN, seen, view

if TYPE_CHECKING:
    from redis import Redis

    from jobferry_common.names import RunId

_S = JobState
ASKED = {"memory_per_node": "1000MB", "time_limit": "01:00:00"}
RULES: Any = {
    "out_of_memory": {"memory": 2, "memory_most": "3000MB"},
    "node_failure": {"counts": False, "exclude_node": True, "times": 3},
    "preempted": {"counts": False, "times": 5},
}


def sick(redis: Redis, ill: str, **chances: float) -> Bench:
    """Return a bench whose jobs end without a record, in one way."""
    bench = Bench(redis, World(seed=5, chances=Chances(no_record=1.0, **chances)))
    bench.world.ill = ill
    return bench


def accept(bench: Bench, rules: Any = None, **fields: Any) -> RunId:
    on_failure = OnFailure.load_from_dict(RULES if rules is None else rules)
    return bench.accept(asked=ASKED, on_failure=on_failure, continue_on_failure=True, **fields)


def test_memory_is_multiplied_up_to_the_most_and_then_the_job_fails(redis: Redis) -> None:
    bench = sick(redis, "out_of_memory")
    run = accept(bench, jobs=2)
    bench.until_final()
    asked = sorted((one.attempt.job, one.memory, one.time) for one in bench.world.asked)
    assert asked == [(job, memory, 3600) for job in (0, 1) for memory in (1000, 2000, 3000)]
    for _, record in bench.ledger.jobs(run):
        assert (record.state, record.tries) == (_S.FAILED, 3)
        assert record.reason == "out of memory with the most that it may have (2.93 GB)"


def test_nodes_that_failed_are_excluded_one_after_the_other(redis: Redis) -> None:
    bench = sick(redis, "node_failure")
    run = accept(bench, jobs=1, retry_count=0)
    bench.until_final()
    nodes = [one.node for one in bench.world.asked]
    assert [one.excluded for one in bench.world.asked] == [tuple(nodes[:n]) for n in range(4)]
    assert len(set(nodes)) == 4
    record = bench.ledger.job(run, 0)
    assert record.reason == (
        f"node failure on {nodes[3]}; it was tried again 3 times for that, which is the most"
    )


def test_tries_that_do_not_count_leave_the_others_what_they_have(redis: Redis) -> None:
    bench = sick(redis, "preempted")
    run = accept(bench, jobs=1, retry_count=0)
    while bench.ledger.job(run, 0).attempt < 4:
        bench.step(5.0)
    assert bench.ledger.job(run, 0).tries in (0, 1)  # 1: while it is not settled
    bench.world.chances.no_record = 0.0
    bench.until_final()
    assert bench.counts(run) == {_S.FINISHED: 1}


def test_jobs_that_ask_for_the_same_go_together(redis: Redis) -> None:
    bench = sick(redis, "out_of_memory")
    accept(bench, jobs=20)
    while len(bench.world.asked) < 40:
        bench.step(5.0)
    assert Counter(one.memory for one in bench.world.asked) == {1000: 20, 2000: 20}
    # they ended one by one, and came back one by one: fewer commands than jobs all the same
    assert bench.world.commands.count("submit") <= 20


POINTS = (
    "after-changes",
    "before-files",
    "before-reserve",
    "after-reserve",
    "after-submit",
    "after-ids",
)


@pytest.mark.parametrize("point", POINTS)
def test_a_worker_that_dies_anywhere_neither_forgets_nor_doubles_a_step(
    redis: Redis, point: str
) -> None:
    bench = sick(redis, "out_of_memory", submit_delayed=0.2)
    run = accept(bench, jobs=3, retry_count=9)
    passed = 0

    def die(here: str) -> None:
        nonlocal passed
        passed += here == point
        if here == point and passed % 2:
            raise Crash(point)

    for _ in range(120):
        try:
            with killpoints.trapped(die):
                bench.step(5.0)
        except Crash:
            bench.restart()
    assert passed > 1
    bench.until_final()
    for job, record in bench.ledger.jobs(run):
        assert (record.state, record.tries) == (_S.FAILED, 3)
        assert [one.memory for one in bench.world.asked if one.attempt.job == job] == [
            1000,
            2000,
            3000,
        ]


def test_a_cluster_that_refuses_what_one_job_asks_for_still_gets_the_others(redis: Redis) -> None:
    twins = Twins(redis, World(seed=1), World(seed=2))
    policy: dict[str, Any] = {
        "on_failure": OnFailure.load_from_dict(RULES),
        "continue_on_failure": True,
    }
    run = twins.accept(jobs=4, asked=ASKED, **policy)
    for side in twins.sides.values():
        side.world.chances.no_record, side.world.ill = 1.0, "out_of_memory"
    while not any(one.asks for _, one in twins.ledger.jobs(run)):
        twins.step()
    for side in twins.sides.values():
        side.world.refuses = "Memory specification can not be satisfied"
        side.world.chances.no_record = 0.0
    twins.until_final()
    refused = [one for _, one in twins.ledger.jobs(run) if one.state is _S.FAILED]
    assert refused
    assert {one.reason for one in refused} == {"Memory specification can not be satisfied"}
    assert not twins.ledger.run(run).refused


def sized(*asks: Asks) -> tuple[Snapshot, RunView]:
    """Return a round with one pending job for each of these."""
    run = view(jobs=len(asks), on_failure=OnFailure.load_from_dict(RULES))
    resources = run.header.resources.model_copy(update=ASKED)
    run = replace(run, header=replace(run.header, resources=resources))
    due = tuple((job, JobRecord(asks=one)) for job, one in enumerate(asks))
    return seen(runs={RUN: run}, due=((RUN, due),)), run


def arrays(s: Snapshot) -> list[list[int]]:
    return [[job for job, _ in one.jobs] for one in plan(s) if isinstance(one, SubmitJobs)]


def test_an_array_holds_only_jobs_that_ask_for_the_same() -> None:
    more, other = Asks(times=(("out_of_memory", 1),)), Asks(nodes=("alpha/n3",))
    elsewhere = Asks(nodes=("beta/n3",), times=(("preempted", 2),))
    s, _ = sized(Asks(), more, Asks(), other, more, elsewhere)
    assert arrays(s) == [[0, 2, 5], [1, 4], [3]]
    held = replace(s, holds={RUN: Hold(until=NOW - 1, failures=1, batch=6)})
    assert arrays(held) == [[0, 2, 5]]


def test_of_a_shared_run_nodes_count_on_their_own_cluster() -> None:
    s, run = sized(Asks(), Asks(nodes=("beta/n3",)))
    beta = ClusterName("beta")
    shared = replace(run, header=replace(run.header, targets=(ALPHA, beta)))
    assert arrays(replace(s, runs={RUN: shared}, me=ALPHA)) == [[0, 1]]
    assert arrays(replace(s, runs={RUN: shared}, me=beta)) == [[0], [1]]


def test_without_rules_a_lost_node_costs_no_try(redis: Redis) -> None:
    bench = sick(redis, "node_failure")
    run = bench.accept(jobs=1, retry_count=1)
    while bench.ledger.job(run, 0).attempt < 6:
        bench.step(5.0)
    bench.world.chances.no_record = 0.0
    bench.until_final()
    assert bench.counts(run) == {_S.FINISHED: 1}
    assert bench.ledger.job(run, 0).outcome is Outcome.SUCCEEDED
    assert Policy().on_failure is None
