"""Runs that several clusters share: claims, and that every change names its place."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.errors import LeaseLost
from jobferry_common.ledger import Ledger
from jobferry_common.ledger.records import Fence
from jobferry_common.ledger.sharing import ClaimWaits
from jobferry_common.names import AttemptKey, ClusterName, RunId, token_of
from jobferry_common.states import JobState, ResultsState, RunState
from tests.common.ledger.documents import ALPHA, MINUTE, change_to, document, fence_of, move

if TYPE_CHECKING:
    from tests.testbed.broker import Broker

BETA = ClusterName("beta")
BOTH = (ALPHA, BETA)
LATER = 1e12


def accept(ledger: Ledger, number: int = 1, *, tasks: int = 6, **header: Any) -> RunId:
    given = {"targets": BOTH, **header}
    return ledger.accept(document(number, tasks=tasks, **given)).run


def claim(ledger: Ledger, run: RunId, cluster: ClusterName, limit: int) -> list[int]:
    return ledger.claim(run, cluster, limit, fence=fence_of(ledger), now=5.0)


def take(ledger: Ledger, run: RunId, cluster: ClusterName, limit: int) -> list[int]:
    """Claim jobs, and bring their files."""
    jobs = claim(ledger, run, cluster, limit)
    assert ledger.staged(run, cluster, jobs) == len(jobs)
    return jobs


def reserve(ledger: Ledger, run: RunId, cluster: ClusterName, jobs: list[int]) -> bool:
    records = {job: ledger.job(run, job) for job in jobs}
    attempts = [AttemptKey(job, record.attempt) for job, record in records.items()]
    return ledger.reserve(
        run,
        cluster,
        token_of(run, attempts),
        attempts,
        fence=fence_of(ledger),
        now=10.0,
        single=False,
        claims=[record.claim for record in records.values()],
    )


def due(ledger: Ledger, cluster: ClusterName, now: float = LATER) -> dict[RunId, list[int]]:
    return {run: [job for job, _ in rows] for run, rows in ledger.due(cluster, now=now)}


def test_nothing_is_due_before_it_is_claimed_and_staged(ledger: Ledger) -> None:
    run = accept(ledger)
    assert due(ledger, ALPHA) == due(ledger, BETA) == {run: []}
    assert claim(ledger, run, ALPHA, 2) == [0, 1]
    assert due(ledger, ALPHA) == {run: []}
    ledger.staged(run, ALPHA, [0, 1])
    assert due(ledger, ALPHA) == {run: [0, 1]}
    assert due(ledger, BETA) == {run: []}


def test_no_job_is_claimed_twice(ledger: Ledger) -> None:
    run = accept(ledger)
    assert claim(ledger, run, ALPHA, 4) == [0, 1, 2, 3]
    assert claim(ledger, run, BETA, 4) == [4, 5]
    assert claim(ledger, run, ALPHA, 4) == claim(ledger, run, BETA, 4) == []
    places = [ledger.job(run, job).place for job in range(6)]
    assert places == ["alpha#1"] * 4 + ["beta#2"] * 2
    assert ledger.with_claims(ALPHA) == ledger.with_claims(BETA) == [run]


def test_clusters_that_race_share_none(valkey: Broker, ledger: Ledger) -> None:
    run = accept(ledger, tasks=500)
    fence = fence_of(ledger)
    taken: list[int] = []
    ready = threading.Barrier(2)

    def race(cluster: ClusterName) -> None:
        own = Ledger(valkey.client())
        ready.wait()
        while jobs := own.claim(run, cluster, 7, fence=fence, now=5.0):
            taken.extend(jobs)
        own.redis.close()

    threads = [threading.Thread(target=race, args=(name,)) for name in BOTH]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(500))


def test_only_who_claimed_a_job_submits_it_and_only_with_its_files(ledger: Ledger) -> None:
    run = accept(ledger)
    claim(ledger, run, ALPHA, 2)
    assert not reserve(ledger, run, ALPHA, [0])
    ledger.staged(run, ALPHA, [0, 1])
    assert not reserve(ledger, run, BETA, [0])
    assert reserve(ledger, run, ALPHA, [0])
    assert ledger.job(run, 0).place == "alpha#1"
    assert [one.key.job for one in ledger.flight(ALPHA)] == [0]
    assert ledger.flight(BETA) == []


def test_an_older_claim_of_the_same_cluster_submits_nothing(ledger: Ledger) -> None:
    run = accept(ledger, tasks=1)
    take(ledger, run, ALPHA, 1)
    old = ledger.job(run, 0)
    ledger.unclaim(run, ALPHA)
    take(ledger, run, ALPHA, 1)
    attempts = [AttemptKey(0, 1)]
    arguments: dict[str, Any] = {"fence": fence_of(ledger), "now": 1.0, "single": True}
    token = token_of(run, attempts)
    assert not ledger.reserve(run, ALPHA, token, attempts, claims=[old.claim], **arguments)
    assert ledger.reserve(run, ALPHA, token, attempts, claims=[old.claim + 1], **arguments)


def test_what_is_given_back_goes_to_the_pool_and_to_anybody(ledger: Ledger) -> None:
    run = accept(ledger)
    take(ledger, run, ALPHA, 2)
    claim(ledger, run, ALPHA, 2)
    assert ledger.unclaim(run, ALPHA, staged=False) == 2
    assert ledger.pool(run, ALPHA, now=5.0).staged == 2
    assert ledger.unclaim(run, ALPHA) == 2
    assert ledger.with_claims(ALPHA) == []
    assert claim(ledger, run, BETA, 10) == list(range(6))
    assert ledger.run(run).counts[JobState.PENDING] == 6
    assert not reserve(ledger, run, ALPHA, [0])


def test_what_a_cluster_tried_before_the_broker_forgot_stays_there(ledger: Ledger) -> None:
    run = accept(ledger, tasks=2)
    take(ledger, run, ALPHA, 2)
    reserve(ledger, run, ALPHA, [0])
    move(ledger, run, 0, JobState.EXITED)
    ledger.change(run, [change_to(ledger, run, 0, JobState.PENDING, attempt=2)], fence=None)
    ledger.doubt(ALPHA, run, read=True)
    assert ledger.unclaim(run, ALPHA) == 1
    assert ledger.job(run, 0).place == "alpha#1"
    assert ledger.with_claims(ALPHA) == [run]
    ledger.abandon(run, ALPHA)
    assert claim(ledger, run, BETA, 5) == [0, 1]


def test_files_that_come_after_the_claim_was_given_back_let_nothing_go(ledger: Ledger) -> None:
    run = accept(ledger)
    jobs = claim(ledger, run, ALPHA, 2)
    ledger.unclaim(run, ALPHA)
    assert ledger.staged(run, ALPHA, jobs) == 0
    assert due(ledger, ALPHA) == {run: []}


def test_a_late_word_of_a_cluster_that_was_given_up_is_refused(ledger: Ledger) -> None:
    run = accept(ledger, tasks=1)
    take(ledger, run, ALPHA, 1)
    reserve(ledger, run, ALPHA, [0])
    seen = ledger.job(run, 0)
    late = change_to(ledger, run, 0, JobState.EXITED, place=seen.place)
    again = change_to(ledger, run, 0, JobState.PENDING, attempt=2, cluster="", claim=0)
    assert ledger.change(run, [again], fence=None) == [True]
    assert ledger.flight(ALPHA) == []
    take(ledger, run, BETA, 1)
    reserve(ledger, run, BETA, [0])
    assert ledger.change(run, [late], fence=None) == [False]
    wrong_place = change_to(ledger, run, 0, JobState.EXITED, place="beta#1")
    assert ledger.change(run, [wrong_place], fence=None) == [False]
    right = change_to(ledger, run, 0, JobState.EXITED, place="beta#2")
    assert ledger.change(run, [right], fence=None) == [True]


def test_a_retry_stays_with_its_cluster_or_goes_to_the_pool(ledger: Ledger) -> None:
    run = accept(ledger, tasks=2)
    take(ledger, run, ALPHA, 2)
    reserve(ledger, run, ALPHA, [0, 1])
    for job in (0, 1):
        move(ledger, run, job, JobState.EXITED)
    stays = change_to(ledger, run, 0, JobState.PENDING, attempt=2, due=500.0)
    goes = change_to(ledger, run, 1, JobState.PENDING, attempt=2, cluster="", claim=0, due=600.0)
    ledger.change(run, [stays, goes], fence=None)
    assert due(ledger, ALPHA, now=499.0) == {}
    assert ledger.next_due(ALPHA) == 500.0
    assert ledger.next_due(BETA) == 600.0
    assert due(ledger, ALPHA, now=550.0) == {run: [0]}
    assert claim(ledger, run, BETA, 5) == []
    assert ledger.claim(run, BETA, 5, fence=fence_of(ledger), now=601.0) == [1]


def test_results_are_collected_where_the_job_ran_and_the_run_follows_the_last(
    ledger: Ledger,
) -> None:
    run = accept(ledger, tasks=2)
    for job, cluster in enumerate(BOTH):
        take(ledger, run, cluster, 1)
        reserve(ledger, run, cluster, [job])
        move(ledger, run, job, JobState.EXITED, JobState.FINISHED)
    assert ledger.to_collect(run, at=ALPHA) == [0]
    assert ledger.to_collect(run, at=BETA) == [1]
    assert ledger.to_judge(ALPHA) == ledger.to_judge(BETA) == [run]
    ledger.change_run(run, state=RunState.FINISHED)
    assert ledger.open_runs(ALPHA) == ledger.open_runs(BETA) == []
    assert ledger.collectable(ALPHA) == ledger.collectable(BETA) == [run]
    for cluster in BOTH:
        assert ledger.run(run).results is ResultsState.REMOTE
        [job] = ledger.to_collect(run, at=cluster)
        assert not ledger.is_collected(run, job)
        ledger.collected(run, [job], at=cluster)
        assert ledger.is_collected(run, job)
        ledger.place_results(run, cluster, "delivered")
        ledger.collected(run, [], at=cluster)
        assert ledger.collectable(cluster) == []
    assert ledger.run(run).results is ResultsState.DELIVERED
    ledger.place_results(run, ALPHA, "cleaned")
    assert ledger.run(run).results is ResultsState.DELIVERED
    ledger.place_results(run, BETA, "given up")
    assert ledger.run(run).results is ResultsState.CLEANED


def test_a_run_that_ends_before_anybody_claimed_of_it_has_no_results(ledger: Ledger) -> None:
    run = accept(ledger)
    ledger.wish_cancel(run)
    assert ledger.cancel_wishes(ALPHA) == ledger.cancel_wishes(BETA) == [run]
    ledger.change_run(run, state=RunState.CANCELLED)
    assert ledger.run(run).results is ResultsState.DELIVERED
    assert ledger.collectable(ALPHA) == []
    assert ledger.cancel_wishes(ALPHA) == ledger.cancel_wishes(BETA) == []


def test_nothing_is_claimed_of_a_run_that_is_held_cancelled_or_not_for_this_cluster(
    ledger: Ledger,
) -> None:
    run = accept(ledger)
    assert claim(ledger, run, ClusterName("gamma"), 3) == []
    assert ledger.hold(run)
    assert not ledger.hold(run)
    assert (claim(ledger, run, ALPHA, 3), due(ledger, ALPHA)) == ([], {})
    assert ledger.next_due(ALPHA) is None
    assert ledger.hold(run, held=False)
    assert due(ledger, ALPHA) == {run: []}
    ledger.wish_cancel(run)
    assert claim(ledger, run, ALPHA, 3) == []


def test_a_held_run_submits_nothing_and_goes_on_after_its_release(ledger: Ledger) -> None:
    run = ledger.accept(document(1)).run
    ledger.change_run(run, staged=True)
    ledger.hold(run)
    assert ledger.run(run).held
    attempts = [AttemptKey(0, 1)]
    token = token_of(run, attempts)
    arguments: dict[str, Any] = {"fence": fence_of(ledger), "now": 1.0, "single": True}
    assert not ledger.reserve(run, ALPHA, token, attempts, **arguments)
    assert (due(ledger, ALPHA), ledger.next_due(ALPHA)) == ({}, None)
    ledger.hold(run, held=False)
    assert due(ledger, ALPHA) == {run: [0, 1, 2]}
    assert ledger.reserve(run, ALPHA, token, attempts, **arguments)


def test_priority_orders_the_runs_of_one_owner_and_not_those_of_others(ledger: Ledger) -> None:
    low, usual, high = (accept_alone(ledger, i, priority=p) for i, p in ((1, -5), (2, 0), (3, 5)))
    bobs = accept_alone(ledger, 4, owner="bob@laptop")
    assert [run for run, _ in ledger.due(ALPHA, now=LATER, runs=3)] == [high, bobs, usual]
    assert [run for run, _ in ledger.due(ALPHA, now=LATER)][-1] == low


def accept_alone(ledger: Ledger, number: int, **header: Any) -> RunId:
    run = ledger.accept(document(number, **header)).run
    ledger.change_run(run, staged=True)
    return run


def test_a_stale_fence_claims_nothing(ledger: Ledger) -> None:
    run = accept(ledger)
    for fence in (Fence(broker="x", number=1), Fence(broker="x", number=1, account="alice@here")):
        with pytest.raises(LeaseLost):
            ledger.claim(run, ALPHA, 3, fence=fence, now=5.0)
    assert ledger.with_claims(ALPHA) == []


def test_after_a_restart_of_the_broker_every_cluster_is_read_back_before_a_claim(
    ledger: Ledger,
) -> None:
    run, broker = accept(ledger), ledger.broker()
    take(ledger, run, ALPHA, 2)
    ledger.ask("HSET", ledger.key("run", run), "born", "the broker before")
    for cluster in BOTH:
        ledger.set_cluster(cluster, last_pass=1.0)
        ledger.answer(run, cluster, broker="the broker before")
    assert ledger.unanswered(ALPHA, broker=broker) == [run]
    ledger.answer(run, ALPHA, broker=broker)
    assert ledger.unanswered(ALPHA, broker=broker) == []
    with pytest.raises(ClaimWaits, match="cluster beta has not yet told"):
        claim(ledger, run, ALPHA, 1)
    assert not reserve(ledger, run, ALPHA, [0])
    assert due(ledger, ALPHA) == {run: []}
    ledger.answer(run, BETA, broker=broker)
    assert claim(ledger, run, ALPHA, 1) == [2]
    assert reserve(ledger, run, ALPHA, [0])


def test_how_a_run_is_spread_is_counted(ledger: Ledger) -> None:
    run = accept(ledger)
    take(ledger, run, ALPHA, 2)
    claim(ledger, run, BETA, 1)
    reserve(ledger, run, ALPHA, [0])
    seen = ledger.pool(run, ALPHA, now=5.0)
    assert (seen.open, seen.claimed, seen.staged) == (3, 0, 1)
    assert seen.at == {
        ALPHA: {JobState.PENDING: 1, JobState.SUBMITTING: 1},
        BETA: {JobState.PENDING: 1},
    }
    move(ledger, run, 0, JobState.EXITED, JobState.FINISHED)
    assert ledger.by_cluster(run)[ALPHA] == {JobState.PENDING: 1, JobState.FINISHED: 1}
    assert ledger.places(run) == {ALPHA: "remote", BETA: "remote"}


def test_a_forgotten_run_leaves_nothing_behind(ledger: Ledger) -> None:
    before = keys(ledger)
    run = accept(ledger, anywhere=True)
    take(ledger, run, ALPHA, 2)
    claim(ledger, run, BETA, 1)
    reserve(ledger, run, ALPHA, [0])
    move(ledger, run, 0, JobState.EXITED, JobState.FINISHED)
    ledger.change_run(run, state=RunState.CANCELLED)
    ledger.forget(run)
    left = {key for key in keys(ledger) - before if run in key}
    assert left == set()
    for name in ("claimed", "collect", "open", "judge", "cancel"):
        for cluster in BOTH:
            assert not ledger.ask("EXISTS", ledger.key(name, cluster))


def keys(ledger: Ledger) -> set[str]:
    return set(map(str, ledger.ask("KEYS", ledger.key("*"))))


def recount(ledger: Ledger, run: RunId) -> None:
    """Compare lists and counters with the records."""
    records = dict(ledger.jobs(run))
    counted = Counter(
        (record.cluster, record.state) for record in records.values() if record.cluster
    )
    found = ledger.by_cluster(run)
    assert {(c, s): n for c, states in found.items() for s, n in states.items()} == counted
    pending = [record for record in records.values() if record.state is JobState.PENDING]
    assert ledger.pool(run, ALPHA, now=LATER).open == sum(not one.cluster for one in pending)
    for cluster in BOTH:
        held = ledger.pool(run, cluster, now=LATER)
        assert held.claimed + held.staged == sum(one.cluster == cluster for one in pending)
        assert int(ledger.ask("HGET", ledger.key("waiting"), cluster)) == len(pending)
        flying = {
            job for job, one in records.items() if one.state.is_in_flight and one.cluster == cluster
        }
        assert {one.key.job for one in ledger.flight(cluster)} == flying


def test_lists_and_counters_equal_a_recount_after_every_step(ledger: Ledger) -> None:
    run = accept(ledger, tasks=12)
    ledger.acquire("alice@here", "a test", MINUTE)
    steps: list[Any] = [
        lambda: take(ledger, run, ALPHA, 4),
        lambda: claim(ledger, run, BETA, 3),
        lambda: reserve(ledger, run, ALPHA, [0, 1]),
        lambda: move(ledger, run, 0, JobState.QUEUED, JobState.RUNNING, JobState.EXITED),
        lambda: move(ledger, run, 0, JobState.FINISHED),
        lambda: ledger.unclaim(run, ALPHA, staged=False),
        lambda: ledger.unclaim(run, BETA),
        lambda: take(ledger, run, BETA, 2),
        lambda: move(ledger, run, 1, JobState.PENDING),
        lambda: reserve(ledger, run, ALPHA, [1, 2]),
        lambda: ledger.unclaim(run, ALPHA),
        lambda: move(ledger, run, 3, JobState.CANCELLED),
        lambda: move(ledger, run, 2, JobState.QUEUED),
    ]
    for step in steps:
        step()
        recount(ledger, run)
