"""Runs: listing, finding by prefix, changing, cancelling."""

from __future__ import annotations

from datetime import timedelta
from itertools import product
from typing import TYPE_CHECKING

import pytest

from jobferry_common.errors import AmbiguousId, IllegalTransition, UnknownId
from jobferry_common.events import EventStream
from jobferry_common.ledger import Ledger
from jobferry_common.ledger.findings import FailedTask
from jobferry_common.names import RunId
from jobferry_common.states import RUN_TRANSITIONS, ResultsState, RunState
from tests.common.ledger.documents import ALPHA, document, finish, reserve

if TYPE_CHECKING:
    from redis import Redis

WAYS: dict[RunState, tuple[RunState, ...]] = {
    RunState.ACCEPTED: (),
    RunState.ACTIVE: (RunState.ACTIVE,),
    RunState.FINISHED: (RunState.ACTIVE, RunState.FINISHED),
    RunState.FAILED: (RunState.FAILED,),
    RunState.CANCELLED: (RunState.CANCELLED,),
}


@pytest.mark.parametrize(("old", "new"), list(product(RunState, RunState)))
def test_a_run_goes_only_where_the_table_says(ledger: Ledger, old: RunState, new: RunState) -> None:
    run = ledger.accept(document()).run
    for state in WAYS[old]:
        ledger.change_run(run, state=state)
    if old.is_final and new is not old:
        assert not ledger.change_run(run, state=new)
    elif new in RUN_TRANSITIONS[old] or new is old:
        assert ledger.change_run(run, state=new)
    else:
        with pytest.raises(IllegalTransition):
            ledger.change_run(run, state=new)
    assert ledger.run(run).state is (new if new in RUN_TRANSITIONS[old] else old)


def test_a_state_that_is_as_expected_changes_only_as_the_table_allows(ledger: Ledger) -> None:
    run = ledger.accept(document(1)).run
    assert ledger.change_run(run, state=RunState.ACTIVE, was=RunState.ACCEPTED)
    with pytest.raises(IllegalTransition, match="from active to accepted"):
        ledger.change_run(run, state=RunState.ACCEPTED, was=RunState.ACTIVE)
    assert ledger.run(run).state is RunState.ACTIVE


def test_a_run_is_changed_only_from_where_it_was(ledger: Ledger) -> None:
    run = ledger.accept(document()).run
    assert not ledger.change_run(run, state=RunState.FINISHED, was=RunState.ACTIVE)
    assert ledger.change_run(run, staged=True, reason="ready", was=RunState.ACCEPTED)
    assert (ledger.run(run).staged, ledger.run(run).reason) == (True, "ready")
    assert ledger.change_run(run, state=RunState.FAILED, was=RunState.ACCEPTED)
    assert ledger.change_run(run, state=RunState.FAILED, was=RunState.ACCEPTED)
    record = ledger.run(run)
    assert record.finished is not None
    assert ledger.open_runs(ALPHA) == []


def test_runs_are_listed_newest_first(redis: Redis) -> None:
    now = [100.0]
    ledger = Ledger(redis, clock=lambda: now[0])
    runs = []
    for number in range(4):
        now[0] += 1
        runs.append(ledger.accept(document(number)).run)
    ledger.change_run(runs[3], state=RunState.CANCELLED)
    assert [run.id for run in ledger.runs(limit=2)] == [runs[3], runs[2]]
    assert [run.id for run in ledger.runs(open_only=True)] == [runs[2], runs[1], runs[0]]
    assert ledger.runs()[-1].accepted == 101.0


def test_a_unique_prefix_finds_a_run(ledger: Ledger) -> None:
    one = ledger.accept(document(0xAB1000000000)).run
    other = ledger.accept(document(0xAB2000000000)).run
    assert ledger.resolve("ab1") == one
    assert ledger.resolve(other) == other
    with pytest.raises(AmbiguousId, match="ab1000000000, ab2000000000: give more"):
        ledger.resolve("ab")


def test_an_empty_prefix_is_no_run_even_where_there_is_only_one(ledger: Ledger) -> None:
    ledger.accept(document())
    with pytest.raises(UnknownId, match="the id of a run is empty"):
        ledger.resolve("")


def test_a_prefix_of_a_submission_finds_its_newest_run(ledger: Ledger) -> None:
    for _ in range(11):
        ledger.change_run(ledger.accept(document()).run, state=RunState.FAILED)
    assert ledger.resolve("0000") == "000000000001-11"
    assert ledger.resolve("000000000001-1") == "000000000001-1"


def test_near_matches_are_offered(ledger: Ledger) -> None:
    run = ledger.accept(document(0xAB1000000000)).run
    with pytest.raises(UnknownId, match=f"no run begins with 'ab200000'. Did you mean {run}"):
        ledger.resolve("ab200000")
    for nothing in ("zzz", "é", "\udcff"):
        with pytest.raises(UnknownId, match="jobferry status"):
            ledger.resolve(nothing)
    with pytest.raises(UnknownId, match="never accepted"):
        ledger.run(RunId("ab1000000000-7"))
    with pytest.raises(UnknownId, match="never accepted"):
        ledger.header(RunId("ab1000000000-7"))


def test_cancelling_is_a_wish_until_the_run_ends(ledger: Ledger) -> None:
    run = ledger.accept(document()).run
    assert ledger.wish_cancel(run)
    assert ledger.wish_cancel(run)
    assert ledger.cancel_wishes(ALPHA) == [run]
    assert (ledger.run(run).cancel, ledger.run(run).state) == (True, RunState.ACCEPTED)
    ledger.change_run(run, state=RunState.CANCELLED)
    assert ledger.cancel_wishes(ALPHA) == []
    assert not ledger.wish_cancel(run)
    with pytest.raises(UnknownId):
        ledger.wish_cancel(RunId("nothing-1"))


def test_a_forgotten_run_leaves_nothing(ledger: Ledger, redis: Redis) -> None:
    run = ledger.accept(document()).run
    finish(ledger, run, 0)
    ledger.note_failures(run, {1: [FailedTask(task=1, code=3)]})
    ledger.change_run(run, state=RunState.FAILED)
    ledger.forget(run)
    ledger.note_lack(run, "told too late")
    left = {key for key in redis.scan_iter() if run in key}
    assert left == set()
    assert (ledger.runs(), ledger.collectable(ALPHA)) == ([], [])
    with pytest.raises(UnknownId):
        ledger.resolve(run)


def test_findings_of_a_run_are_kept_as_they_are(ledger: Ledger) -> None:
    run = ledger.accept(document()).run
    tasks = [FailedTask(task=0, code=0, missing=("a b", "c")), FailedTask(task=2, code=137)]
    ledger.note_failures(run, {0: tasks, 1: []})
    assert ledger.failures(run, [0, 1]) == {0: tasks}
    assert ledger.lack(run) == ""
    ledger.note_lack(run, "'out' of task 0")
    assert ledger.lack(run) == "'out' of task 0"


def test_an_ended_run_waits_for_nothing_more(ledger: Ledger) -> None:
    ledger.announce("alpha", account="a", batch_type="Shell", context_type="Local", worker="w")
    run = ledger.accept(document(tasks=5)).run
    reserve(ledger, run, [0])
    assert ledger.cluster("alpha").waiting == 4
    ledger.change_run(run, state=RunState.FINISHED)
    assert ledger.cluster("alpha").waiting == 0


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.CANCELLED])
def test_of_a_run_that_never_submitted_a_job_there_is_nothing_to_bring(
    ledger: Ledger, state: RunState
) -> None:
    run = ledger.accept(document()).run
    ledger.change_run(run, state=state)
    assert ledger.run(run).results is ResultsState.DELIVERED
    assert ledger.collectable(ALPHA) == [run]  # its files may be there: they are removed later


def test_of_a_run_that_submitted_one_the_results_are_waited_for(ledger: Ledger) -> None:
    run = ledger.accept(document()).run
    reserve(ledger, run, [0])
    ledger.change_run(run, state=RunState.CANCELLED)
    assert ledger.run(run).results is ResultsState.REMOTE


def test_that_nothing_is_to_be_brought_is_told_with_the_end(ledger: Ledger) -> None:
    run = ledger.accept(document()).run
    ledger.change_run(run, state=RunState.CANCELLED)
    event = EventStream(ledger).read(run, "0", timedelta(0))[-1]
    assert (event.state, event.results) == (RunState.CANCELLED, ResultsState.DELIVERED)
