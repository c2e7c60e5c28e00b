"""What a cluster that does not come back has of a run is given up."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from jobferry_common.errors import Conflict
from jobferry_common.ledger.sanity import problems, read_all
from jobferry_common.names import ClusterName
from jobferry_common.states import JobState, Outcome, ResultsState, RunState
from tests.common.ledger.documents import ALPHA, change_to, document, finish, move
from tests.common.ledger.documents import reserve as reserve_alone
from tests.common.ledger.test_sharing import BETA, accept, claim, recount, reserve, take

if TYPE_CHECKING:
    from jobferry_common.ledger import Ledger

_S = JobState


def test_what_was_given_up_goes_to_others_as_another_attempt(ledger: Ledger) -> None:
    run = accept(ledger, tasks=5)
    take(ledger, run, ALPHA, 3)
    reserve(ledger, run, ALPHA, [0, 1])
    move(ledger, run, 1, _S.QUEUED, _S.RUNNING)
    late = change_to(ledger, run, 1, _S.EXITED, outcome=Outcome.SUCCEEDED)
    late = replace(late, place=ledger.job(run, 1).place)
    assert ledger.abandon(run, ALPHA) == 2
    assert ledger.run(run).clusters == (BETA,)
    assert claim(ledger, run, ALPHA, 5) == []
    assert claim(ledger, run, BETA, 5) == [0, 1, 2, 3, 4]
    assert [ledger.job(run, job).attempt for job in range(5)] == [2, 2, 1, 1, 1]
    assert [ledger.job(run, job).tries for job in range(5)] == [0] * 5
    assert ledger.change(run, [late], fence=None) == [False]
    assert (ledger.flight(ALPHA), ledger.tokens(ALPHA), ledger.open_runs(ALPHA)) == ([], {}, [])


def test_what_ends_at_a_cluster_that_was_given_up_halfway_goes_to_the_pool(ledger: Ledger) -> None:
    run = accept(ledger, tasks=2)
    take(ledger, run, ALPHA, 2)
    reserve(ledger, run, ALPHA, [0, 1])
    ledger.call("leave", run, ALPHA, 20.0)  # whoever gave it up died before the jobs were taken
    for job in (0, 1):
        move(ledger, run, job, _S.EXITED)
    again = [change_to(ledger, run, job, _S.PENDING, attempt=2) for job in (0, 1)]
    assert {change.record.cluster for change in again} == {ALPHA}
    assert ledger.change(run, again, fence=None) == [True, True]
    assert ledger.change(run, again, fence=None) == [True, True]  # an answer that was lost
    assert [ledger.job(run, job).place for job in (0, 1)] == ["", ""]
    assert list(problems(read_all(ledger))) == []
    assert claim(ledger, run, BETA, 5) == [0, 1]


def test_counters_stay_right(ledger: Ledger) -> None:
    run = accept(ledger, tasks=6)
    take(ledger, run, ALPHA, 3)
    reserve(ledger, run, ALPHA, [0, 1])
    ledger.abandon(run, ALPHA)
    ledger.ask("HSET", ledger.key("waiting"), ALPHA, 6)  # it is no target any more
    recount(ledger, run)


def test_the_run_ends_and_is_delivered_without_it(ledger: Ledger) -> None:
    run = accept(ledger, tasks=3)
    for cluster, jobs in ((ALPHA, [0, 1]), (BETA, [2])):
        take(ledger, run, cluster, len(jobs))
        reserve(ledger, run, cluster, jobs)
    move(ledger, run, 0, _S.EXITED, _S.FINISHED)
    ledger.abandon(run, ALPHA)
    assert "results of 1 jobs stay at alpha" in ledger.lack(run)
    take(ledger, run, BETA, 1)
    reserve(ledger, run, BETA, [1])
    for job in (1, 2):
        move(ledger, run, job, _S.EXITED, _S.FINISHED)
    ledger.change_run(run, state=RunState.FINISHED)
    ledger.place_results(run, BETA, "delivered")
    assert ledger.run(run).results is ResultsState.DELIVERED


def test_a_cancelled_run_ends_although_one_of_its_clusters_is_dead(ledger: Ledger) -> None:
    run = accept(ledger, tasks=3)
    take(ledger, run, ALPHA, 2)
    reserve(ledger, run, ALPHA, [0, 1])
    ledger.wish_cancel(run)
    assert ledger.abandon(run, ALPHA) == 2
    counts = ledger.run(run).counts
    assert (counts[_S.CANCELLED], counts[_S.PENDING]) == (2, 1)
    assert ledger.to_judge(BETA) == ledger.cancel_wishes(BETA) == [run]
    assert ledger.cancel_wishes(ALPHA) == []


def test_giving_up_every_cluster_ends_the_run(ledger: Ledger) -> None:
    run = accept(ledger, tasks=4)
    for cluster in (ALPHA, BETA):
        take(ledger, run, cluster, 1)
    reserve(ledger, run, BETA, [1])
    ledger.abandon(run, ALPHA)
    assert ledger.run(run).state is RunState.ACTIVE
    ledger.abandon(run, BETA)
    record = ledger.run(run)
    assert (record.state, record.counts[_S.CANCELLED]) == (RunState.CANCELLED, 4)
    assert record.results in (ResultsState.DELIVERED, ResultsState.CLEANED)


def test_a_user_who_dies_while_giving_up_the_last_cluster_leaves_nothing_half_done(
    ledger: Ledger,
) -> None:
    run = accept(ledger, tasks=2)
    take(ledger, run, BETA, 2)
    ledger.abandon(run, ALPHA)
    assert ledger.call("leave", run, BETA, ledger.clock()) == 0  # and no more than that
    assert ledger.run(run).cancel
    assert ledger.cancel_wishes(BETA) == [run]
    assert list(problems(read_all(ledger))) == []


def test_a_run_that_goes_to_one_cluster_is_cancelled_with_it(ledger: Ledger) -> None:
    run = ledger.accept(document(1)).run
    ledger.change_run(run, staged=True)
    finish(ledger, run, 0)
    reserve_alone(ledger, run, [1])
    assert ledger.abandon(run, ALPHA) == 1
    record = ledger.run(run)
    assert record.state is RunState.CANCELLED
    assert record.counts[_S.FINISHED] == 1
    assert record.results is ResultsState.DELIVERED
    assert ledger.flight(ALPHA) == []


def test_it_may_be_said_again_and_means_nothing_for_a_stranger(ledger: Ledger) -> None:
    run = accept(ledger)
    take(ledger, run, ALPHA, 2)
    assert ledger.abandon(run, ALPHA) == ledger.abandon(run, ALPHA) == 0
    with pytest.raises(Conflict, match=r"cluster gamma has no part in run .*: it goes to beta"):
        ledger.abandon(run, ClusterName("gamma"))


def test_a_cluster_joins_what_anybody_may_do_unless_it_was_given_up(ledger: Ledger) -> None:
    gamma = ClusterName("gamma")
    run = accept(ledger, anywhere=True)
    closed = accept(ledger, 2)
    assert ledger.joinable() == [run]
    assert ledger.join(run, gamma)
    assert not ledger.join(run, gamma)
    assert claim(ledger, run, gamma, 2) == [0, 1]
    assert ledger.run(run).clusters == (ALPHA, BETA, gamma)
    assert ledger.open_runs(gamma) == [run]
    ledger.abandon(run, gamma)
    assert not ledger.join(run, gamma)
    assert ledger.run(closed).clusters == (ALPHA, BETA)
