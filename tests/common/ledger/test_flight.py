"""Due work, intents, tokens and jobs in flight."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from jobferry_common.errors import LeaseLost
from jobferry_common.ledger import Ledger
from jobferry_common.ledger.records import Fence
from jobferry_common.names import AttemptKey, JobKey, RunId, token_of
from jobferry_common.states import JobState, RunState
from tests.common.ledger.documents import (
    ACCOUNT,
    ALPHA,
    change_to,
    document,
    fence_of,
    finish,
    move,
    reserve,
)
from tests.testbed.broker import Broker

LATER = 1e12


def due(
    ledger: Ledger, *, runs: int = 20, per_run: int = 200, now: float = LATER
) -> dict[RunId, list[int]]:
    """Return the numbers of the due jobs by run, in the order of the answer."""
    found = ledger.due(ALPHA, now=now, runs=runs, per_run=per_run)
    return {run: [job for job, _ in rows] for run, rows in found}


def accept(ledger: Ledger, number: int, *, tasks: int = 3, owner: str = "alice@laptop") -> RunId:
    run = ledger.accept(document(number, tasks=tasks, owner=owner)).run
    ledger.change_run(run, staged=True)
    return run


def test_fresh_jobs_are_due_in_order_and_bounded(ledger: Ledger) -> None:
    run = accept(ledger, 1, tasks=1000)
    assert due(ledger, per_run=300) == {run: list(range(300))}
    reserve(ledger, run, range(300))
    assert due(ledger, per_run=2) == {run: [300, 301]}


def test_a_hole_among_fresh_jobs_is_passed_over(ledger: Ledger) -> None:
    run = accept(ledger, 1, tasks=6)
    reserve(ledger, run, [1, 3])
    assert due(ledger) == {run: [0, 2, 4, 5]}
    reserve(ledger, run, [0])
    assert due(ledger) == {run: [2, 4, 5]}


def test_a_retry_is_due_at_its_time(ledger: Ledger) -> None:
    run = accept(ledger, 1, tasks=1)
    reserve(ledger, run, [0])
    move(ledger, run, 0, JobState.EXITED)
    assert ledger.next_due(ALPHA) is None
    again = change_to(ledger, run, 0, JobState.PENDING, attempt=2, tries=1, due=500.0)
    ledger.change(run, [again], fence=None)
    assert ledger.next_due(ALPHA) == 500.0
    assert due(ledger, now=499.0) == {}
    assert ledger.due(ALPHA, now=500.0) == [(run, [(0, again.record)])]
    assert ledger.next_due(ALPHA) == 0.0


def test_a_refused_submit_makes_jobs_due_again_together_with_fresh_ones(ledger: Ledger) -> None:
    run = accept(ledger, 1, tasks=4)
    reserve(ledger, run, [0, 1])
    move(ledger, run, 0, JobState.PENDING)
    assert due(ledger) == {run: [0, 2, 3]}
    move(ledger, run, 1, JobState.PENDING)
    assert due(ledger, per_run=3) == {run: [0, 1, 2]}


def test_owners_come_in_turn_and_then_their_runs(ledger: Ledger) -> None:
    many = [accept(ledger, i) for i in range(1, 6)]
    bobs = accept(ledger, 6, owner="bob@laptop")
    assert list(due(ledger, runs=3)) == [many[0], bobs, many[1]]
    reserve(ledger, many[0], [0])
    assert list(due(ledger, runs=4)) == [bobs, many[1], many[2], many[3]]
    reserve(ledger, bobs, [0])
    assert list(due(ledger, runs=2)) == [many[1], bobs]


def test_everybody_is_served_in_the_end(ledger: Ledger) -> None:
    runs = [accept(ledger, i, tasks=5) for i in range(1, 8)]
    served = []
    while found := due(ledger, runs=1, per_run=1):
        for run, jobs in found.items():
            reserve(ledger, run, jobs)
            served.append(run)
    assert served == runs * 5


def test_what_is_not_staged_does_not_stand_in_the_way(ledger: Ledger) -> None:
    waiting = [ledger.accept(document(i)).run for i in range(1, 4)]
    staged = accept(ledger, 4)
    seen = [run for _ in range(2) for run in due(ledger, runs=2)]
    assert sorted(seen) == sorted([*waiting, staged])
    ledger.change_run(waiting[0], staged=True)
    assert next(iter(due(ledger, runs=1))) == waiting[0]


def test_other_clusters_and_ended_runs_are_not_due(ledger: Ledger) -> None:
    ledger.accept(document(1, cluster="beta"))
    ended = accept(ledger, 2)
    ledger.change_run(ended, state=RunState.CANCELLED)
    assert due(ledger) == {}
    assert ledger.next_due(ALPHA) is None
    assert ledger.next_due(document(1, cluster="beta").header.cluster) == 0.0


def test_an_intent_is_whole(ledger: Ledger) -> None:
    run = accept(ledger, 1)
    assert reserve(ledger, run, [2, 0])
    record = ledger.run(run)
    assert record.state is RunState.ACTIVE
    assert record.counts[JobState.SUBMITTING] == 2
    attempts = [AttemptKey(2, 1), AttemptKey(0, 1)]
    token = token_of(run, attempts)
    assert ledger.frozen(token, ALPHA) == attempts
    assert ledger.tokens(ALPHA) == {token: (run, attempts)}
    flight = ledger.flight(ALPHA)
    assert [(one.key, one.index) for one in flight] == [(JobKey(run, 0), 1), (JobKey(run, 2), 0)]
    assert {one.record.token for one in flight} == {token}


def test_a_single_job_has_no_index(ledger: Ledger) -> None:
    run = accept(ledger, 1)
    reserve(ledger, run, [0], single=True)
    assert [one.index for one in ledger.flight(ALPHA)] == [None]


def test_an_intent_is_all_or_nothing(ledger: Ledger) -> None:
    run = accept(ledger, 1)
    reserve(ledger, run, [1])
    fence = fence_of(ledger)
    attempts = [AttemptKey(0, 1), AttemptKey(1, 1)]
    token = token_of(run, attempts)
    assert not ledger.reserve(run, ALPHA, token, attempts, fence=fence, now=1.0, single=False)
    assert ledger.job(run, 0).state is JobState.PENDING
    assert ledger.frozen(token, ALPHA) == []


def test_an_intent_that_is_sent_again_by_its_own_fence_stands(ledger: Ledger) -> None:
    run = accept(ledger, 1)
    assert reserve(ledger, run, [0])
    attempts = [AttemptKey(0, 1)]
    token = token_of(run, attempts)
    fence = fence_of(ledger)
    assert ledger.reserve(run, ALPHA, token, attempts, fence=fence, now=1.0, single=False)
    ledger.release(ACCOUNT, fence)
    other = fence_of(ledger)
    assert not ledger.reserve(run, ALPHA, token, attempts, fence=other, now=1.0, single=False)


def test_nothing_is_reserved_once_somebody_wants_it_cancelled(ledger: Ledger) -> None:
    run = accept(ledger, 1)
    assert ledger.wish_cancel(run)
    assert not reserve(ledger, run, [0])


def test_a_token_goes_with_its_last_job(ledger: Ledger) -> None:
    run = accept(ledger, 1)
    reserve(ledger, run, [0, 1])
    move(ledger, run, 0, JobState.EXITED, JobState.FINISHED)
    assert len(ledger.tokens(ALPHA)) == 1
    move(ledger, run, 1, JobState.EXITED)
    assert len(ledger.tokens(ALPHA)) == 1
    ledger.change(run, [change_to(ledger, run, 1, JobState.PENDING, attempt=2)], fence=None)
    assert ledger.tokens(ALPHA) == {}
    assert ledger.flight(ALPHA) == []


def test_a_stale_fence_reserves_nothing(ledger: Ledger) -> None:
    run = accept(ledger, 1)
    attempts = [AttemptKey(0, 1)]
    token = token_of(run, attempts)
    for fence in (Fence(broker="x", number=1), Fence(broker="x", number=1, account=ACCOUNT)):
        with pytest.raises(LeaseLost):
            ledger.reserve(run, ALPHA, token, attempts, fence=fence, now=1.0, single=True)
    assert ledger.flight(ALPHA) == []


def test_the_cost_of_a_look_does_not_grow_with_what_is_finished(ledger: Ledger) -> None:
    run = accept(ledger, 1, tasks=40)
    for job in range(30):
        finish(ledger, run, job)
    reserve(ledger, run, [30])
    asked: list[int] = []
    original: Any = ledger.redis.execute_command

    def counted(*command: object, **options: object) -> object:
        asked.append(len(command))
        return original(*command, **options)

    ledger.redis.execute_command = counted  # type: ignore[method-assign]
    assert len(ledger.flight(ALPHA)) == 1
    assert due(ledger) == {run: list(range(31, 40))}
    assert ledger.ask("HGET", ledger.key("run", run), "fresh") == "31"
    assert ledger.ask("SCARD", ledger.key("flight", ALPHA)) == 1
    assert max(asked) < 10


def test_workers_that_race_for_jobs_share_none(valkey: Broker, ledger: Ledger) -> None:
    run = accept(ledger, 1, tasks=100)
    fence = fence_of(ledger)
    won: list[int] = []
    ready = threading.Barrier(3)

    def race(size: int) -> None:
        own = Ledger(valkey.client())
        ready.wait()
        for start in range(0, 100, size):
            attempts = [AttemptKey(job, 1) for job in range(start, min(start + size, 100))]
            token = token_of(run, attempts)
            if own.reserve(run, ALPHA, token, attempts, fence=fence, now=1.0, single=False):
                won.extend(key.job for key in attempts)
        own.redis.close()

    threads = [threading.Thread(target=race, args=(size,)) for size in (3, 4, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == len(set(won)) == ledger.run(run).counts[JobState.SUBMITTING]
