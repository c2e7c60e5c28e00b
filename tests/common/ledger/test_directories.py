"""One real directory has at most one run that may write to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.errors import Conflict
from jobferry_common.states import JobState, ResultsState, RunState
from tests.common.ledger.documents import ALPHA, document, finish, move, reserve

if TYPE_CHECKING:
    from redis import Redis

    from jobferry_common.document import Document
    from jobferry_common.ledger import Ledger
    from jobferry_common.names import RunId

OURS = document(1, source="/data")
THEIRS = document(2, source="/data")


def ended(ledger: Ledger, submission: Document = OURS) -> RunId:
    """Return a run that did something and ended; its results are still on the cluster."""
    run = ledger.accept(submission).run
    finish(ledger, run, 0)
    ledger.change_run(run, state=RunState.FAILED)
    return run


def reached(ledger: Ledger, **fields: Any) -> None:
    """Let a cluster be served."""
    names = {"account": "a", "batch_type": "Shell", "context_type": "Local", "worker": "w"}
    ledger.announce(ALPHA, **names)
    ledger.set_cluster(ALPHA, **{"last_pass": ledger.clock(), **fields})


def test_a_directory_is_not_free_before_the_results_are_back(ledger: Ledger, redis: Redis) -> None:
    run = ended(ledger)
    with pytest.raises(Conflict, match=f"run {run} of alice@laptop ended.*clean --force {run}"):
        ledger.accept(THEIRS)
    ledger.change_run(run, results=ResultsState.DELIVERED)
    assert redis.hlen("jobferry:directories") == 0
    assert not ledger.accept(THEIRS).attached


def test_results_are_not_fetched_again_to_where_another_run_works(
    ledger: Ledger, redis: Redis
) -> None:
    run = ended(ledger)
    ledger.change_run(run, results=ResultsState.DELIVERED)
    other = ledger.accept(THEIRS).run
    with pytest.raises(Conflict, match=f"run {other} works in a directory under /data"):
        ledger.bring_again(run)
    assert ledger.run(run).results is ResultsState.DELIVERED
    finish(ledger, other, 0)
    ledger.change_run(other, state=RunState.FAILED)
    ledger.change_run(other, results=ResultsState.DELIVERED)
    assert ledger.bring_again(run)
    with pytest.raises(Conflict, match=f"run {run} of alice@laptop ended"):
        ledger.accept(THEIRS)
    ledger.change_run(run, results=ResultsState.DELIVERED)
    assert redis.hlen("jobferry:directories") == 0


def test_its_own_submission_goes_on_at_once(ledger: Ledger) -> None:
    run = ended(ledger)
    assert ledger.run(ledger.accept(OURS).run).resumes == run


def test_another_user_waits_for_the_results_of_the_same_submission(ledger: Ledger) -> None:
    ended(ledger)
    with pytest.raises(Conflict, match="results are still to come"):
        ledger.accept(document(1, source="/data", owner="bob@laptop"))


def test_results_of_an_earlier_run_keep_the_directory_when_a_later_one_is_through(
    ledger: Ledger, redis: Redis
) -> None:
    first = ended(ledger)
    later = ledger.accept(OURS).run
    ledger.change_run(later, state=RunState.CANCELLED)
    assert ledger.run(later).results is ResultsState.DELIVERED
    with pytest.raises(Conflict, match=f"run {first} of"):
        ledger.accept(THEIRS)
    ledger.change_run(first, results=ResultsState.DELIVERED)
    assert redis.hlen("jobferry:directories") == 0


def test_a_run_that_is_removed_frees_its_directories(ledger: Ledger, redis: Redis) -> None:
    ledger.forget(ended(ledger))
    assert redis.hlen("jobferry:directories") == 0
    assert not ledger.accept(THEIRS).attached


def test_in_place_nothing_has_to_come_back(ledger: Ledger) -> None:
    ended(ledger, document(1, source="/data", in_place=True))
    assert not ledger.accept(document(2, source="/data", in_place=True)).attached


def test_in_place_a_job_that_outlives_its_run_keeps_the_directory(ledger: Ledger) -> None:
    run = ledger.accept(document(1, source="/data", in_place=True)).run
    reserve(ledger, run, [0])
    ledger.change_run(run, state=RunState.FAILED)
    with pytest.raises(Conflict):
        ledger.accept(document(2, source="/data", in_place=True))
    move(ledger, run, 0, JobState.EXITED, JobState.CANCELLED)
    assert not ledger.accept(document(2, source="/data", in_place=True)).attached


@pytest.mark.parametrize("out", [[], [0]])
def test_a_cancelled_run_whose_cluster_is_out_of_reach_gives_them_up(
    ledger: Ledger, out: list[int]
) -> None:
    run = ledger.accept(OURS).run
    reserve(ledger, run, out)
    reached(ledger)
    ledger.wish_cancel(run)
    with pytest.raises(Conflict, match=f"cluster {ALPHA} was out of reach for 5 minutes"):
        ledger.accept(THEIRS)
    ledger.set_cluster(ALPHA, last_pass=ledger.clock() - 301)
    other = ledger.accept(THEIRS).run
    assert ledger.displaced_by(run) == other
    assert ledger.displaced_by(other) is None


def test_a_pause_that_failures_brought_is_out_of_reach_an_operators_is_not(ledger: Ledger) -> None:
    run = ledger.accept(OURS).run
    ledger.wish_cancel(run)
    reached(ledger, paused="maintenance", paused_by="operator")
    with pytest.raises(Conflict):
        ledger.accept(THEIRS)
    reached(ledger, paused="no route to host", paused_by="jobferry")
    other = ledger.accept(THEIRS).run
    assert ledger.displaced_by(run) == other


def test_an_earlier_run_whose_results_are_to_come_must_be_given_up_too(ledger: Ledger) -> None:
    first = ended(ledger)
    ledger.wish_cancel(ledger.accept(OURS).run)
    with pytest.raises(Conflict, match=f"clean --force {first}"):
        ledger.accept(THEIRS)
    ledger.forget(first)
    assert not ledger.accept(THEIRS).attached


def test_a_run_that_nobody_cancelled_keeps_them(ledger: Ledger) -> None:
    ledger.accept(OURS)
    reached(ledger, last_pass=0.0)
    with pytest.raises(Conflict):
        ledger.accept(THEIRS)


def test_in_place_its_jobs_may_still_write_there(ledger: Ledger) -> None:
    run = ledger.accept(document(1, source="/data", in_place=True)).run
    reserve(ledger, run, [0])
    ledger.wish_cancel(run)
    reached(ledger, last_pass=0.0)
    with pytest.raises(Conflict):
        ledger.accept(document(2, source="/data", in_place=True))


def test_nothing_of_a_run_that_gave_its_directories_up_is_submitted(ledger: Ledger) -> None:
    run = ledger.accept(OURS).run
    ledger.wish_cancel(run)
    ledger.accept(THEIRS)
    assert not reserve(ledger, run, [0])
