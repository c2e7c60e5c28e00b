"""Runs, submits, hints and pauses: what was seen, and what follows from it."""

from __future__ import annotations

from typing import Any

import pytest

from jobferry_common.ledger.records import JobRecord
from jobferry_common.names import RunId
from jobferry_common.schedulers.base import Phase
from jobferry_common.states import JobState, Outcome, RunState
from jobferry_worker.reconcile.actions import (
    CancelPending,
    ChangeJobs,
    EndRun,
    Pause,
    SubmitJobs,
    Tidy,
)
from jobferry_worker.reconcile.plan import plan
from jobferry_worker.reconcile.room import Wish, share
from jobferry_worker.reconcile.snapshot import Hold, Limits, Snapshot
from tests.worker.reconcile.snapshots import (
    EMPTY,
    NOW,
    RUN,
    attempt,
    exit_record,
    flying,
    says,
    seen,
    view,
)

_S = JobState
OTHER = RunId("abc-1")


def waiting(jobs: int, run: RunId = RUN) -> tuple[RunId, tuple[tuple[int, JobRecord], ...]]:
    return run, tuple((job, JobRecord()) for job in range(jobs))


def submits(s: Snapshot) -> list[tuple[RunId, int]]:
    return [(a.run, len(a.jobs)) for a in plan(s) if isinstance(a, SubmitJobs)]


def ready(jobs: int = 10, **fields: Any) -> Snapshot:
    return seen(**{"runs": {RUN: view(jobs=jobs)}, "due": (waiting(jobs),), **fields})


def test_equal_jobs_go_as_one_array_split_at_the_limit() -> None:
    assert submits(ready(10)) == [(RUN, 10)]
    assert submits(ready(10, limits=Limits(array=4))) == [(RUN, 4), (RUN, 4), (RUN, 2)]
    assert submits(ready(3, limits=Limits(array=1))) == [(RUN, 1)] * 3


def test_nothing_goes_before_its_files_are_there() -> None:
    assert submits(ready(runs={RUN: view(staged=False)})) == []


def test_nothing_goes_while_the_cluster_is_paused() -> None:
    assert submits(ready(paused=True)) == []


def test_nothing_goes_in_the_round_in_which_too_many_are_gone() -> None:
    assert submits(ready()) != []
    assert submits(gone(50, 50, runs={RUN: view(jobs=60)}, due=(waiting(10),))) == []
    assert submits(gone(0, 50, runs={RUN: view(jobs=60)}, due=(waiting(10),))) != []


def test_the_budget_bounds_the_commands_and_not_the_jobs() -> None:
    assert submits(ready(10, limits=Limits(array=2, commands=3))) == [(RUN, 2)] * 3


def test_a_run_that_was_turned_away_rests_and_then_tries_fewer() -> None:
    hold = Hold(until=NOW + 1, failures=1, batch=3)
    assert submits(ready(holds={RUN: hold})) == []
    hold = Hold(until=NOW - 1, failures=1, batch=3)
    assert submits(ready(holds={RUN: hold})) == [(RUN, 3)]


def test_room_is_shared_so_that_a_small_run_never_waits_for_a_large_one() -> None:
    s = seen(
        runs={RUN: view(jobs=1000, owner="ann"), OTHER: view(OTHER, jobs=3, owner="bob")},
        due=(waiting(1000), waiting(3, OTHER)),
        limits=Limits(room=10),
    )
    assert sorted(submits(s)) == [(RUN, 7), (OTHER, 3)]


@pytest.mark.parametrize(
    ("room", "wishes", "given"),
    [
        (0, [Wish("ann", RUN, 5, 0)], {}),
        (9, [Wish("ann", RUN, 5, 0)], {RUN: 5}),
        (4, [Wish("ann", RUN, 9, 0), Wish("bob", OTHER, 9, 0)], {RUN: 2, OTHER: 2}),
        (4, [Wish("ann", RUN, 9, 3), Wish("bob", OTHER, 9, 0)], {RUN: 1, OTHER: 3}),
        (4, [Wish("ann", RUN, 9, 2), Wish("ann", OTHER, 9, 0)], {RUN: 1, OTHER: 3}),
        (4, [Wish("ann", RUN, 9, 0), Wish("bob", OTHER, 1, 0)], {RUN: 3, OTHER: 1}),
    ],
)
def test_room_goes_to_who_has_least(room: int, wishes: list[Wish], given: dict[RunId, int]) -> None:
    assert share(room, wishes) == given


@pytest.mark.parametrize(
    ("counts", "policy", "state"),
    [
        ({_S.FINISHED: 10}, {}, RunState.FINISHED),
        ({_S.FINISHED: 9, _S.FAILED: 1}, {}, RunState.FAILED),
        ({_S.FINISHED: 9, _S.FAILED: 1}, {"continue_on_failure": True}, RunState.FAILED),
        ({_S.FINISHED: 9, _S.FAILED: 1}, {"ratio_unfinished": 0.1}, RunState.FINISHED),
        ({_S.FINISHED: 8, _S.CANCELLED: 2}, {"ratio_unfinished": 0.2}, RunState.FINISHED),
        ({_S.FAILED: 1, _S.CANCELLED: 9}, {}, RunState.FAILED),
        ({_S.FINISHED: 1, _S.CANCELLED: 9}, {"cancel": True}, RunState.CANCELLED),
        ({_S.FINISHED: 10}, {"cancel": True}, RunState.FINISHED),
    ],
)
def test_a_run_ends_as_its_jobs_did(
    counts: dict[JobState, int], policy: dict[str, Any], state: RunState
) -> None:
    ends = [
        a for a in plan(seen(runs={RUN: view(counts=counts, **policy)})) if isinstance(a, EndRun)
    ]
    assert [(end.run, end.was, end.state) for end in ends] == [(RUN, RunState.ACTIVE, state)]


@pytest.mark.parametrize("left", [_S.PENDING, _S.SUBMITTING, _S.QUEUED, _S.RUNNING, _S.EXITED])
def test_a_run_does_not_end_before_its_last_job(left: JobState) -> None:
    s = seen(runs={RUN: view(counts={_S.FINISHED: 9, left: 1})})
    assert not [action for action in plan(s) if isinstance(action, EndRun)]


@pytest.mark.parametrize(
    ("policy", "cancelled"),
    [
        ({}, True),
        ({"continue_on_failure": True}, False),
        ({"ratio_unfinished": 0.1}, False),
        ({"continue_on_failure": True, "cancel": True}, True),
    ],
)
def test_a_failed_job_ends_what_is_pending_unless_the_policy_bears_it(
    policy: dict[str, Any], cancelled: bool
) -> None:
    run = view(counts={_S.FAILED: 1, _S.PENDING: 9}, **policy)
    s = seen(runs={RUN: run}, due=(waiting(9),))
    assert bool([a for a in plan(s) if isinstance(a, CancelPending)]) is cancelled
    assert bool(submits(s)) is not cancelled


def test_a_run_that_cannot_be_read_fails_and_others_go_on() -> None:
    s = seen(
        runs={OTHER: view(OTHER)}, broken={RUN: "no JSON"}, due=(waiting(2), waiting(2, OTHER))
    )
    assert submits(s) == [(OTHER, 2)]
    assert CancelPending(run=RUN, reason="no JSON") in plan(s)
    assert EndRun(run=RUN, was=None, state=RunState.FAILED, reason="no JSON") in plan(s)


def gone(count: int, of: int, **fields: Any) -> Snapshot:
    jobs = [flying(job=job) for job in range(of)]
    look = EMPTY
    missing = {job.key: NOW - 1000 for job in jobs[:count]}
    listed = {id_: entry for job in range(count, of) for id_, entry in says(job=job).jobs.items()}
    return seen(*jobs, **{"look": type(look)(jobs=listed), "missing": missing, **fields})


@pytest.mark.parametrize(
    ("count", "of", "paused"), [(10, 10, False), (11, 20, True), (20, 100, False), (21, 100, True)]
)
def test_when_too_many_vanish_at_once_the_cluster_pauses_and_none_is_lost(
    count: int, of: int, paused: bool
) -> None:
    planned = plan(gone(count, of))
    assert bool([a for a in planned if isinstance(a, Pause)]) is paused
    if paused:
        assert not [action for action in planned if isinstance(action, ChangeJobs)]
        assert f"{count} of {of} jobs vanished" in str(planned[0])


def test_a_cluster_that_is_paused_keeps_the_reason_that_it_has() -> None:
    assert not [a for a in plan(gone(50, 50, paused=True)) if isinstance(a, Pause)]


def test_jobs_whose_attempts_were_taken_back_may_all_be_gone_at_once() -> None:
    planned = plan(gone(50, 50, taken_back={attempt(job) for job in range(50)}))
    assert not [a for a in planned if isinstance(a, Pause)]
    assert len([c for a in planned if isinstance(a, ChangeJobs) for c in a.changes]) == 100


def test_vanishing_is_no_surprise_when_we_cancelled_them_or_an_operator_knows_better() -> None:
    for fields in ({"runs": {RUN: view(cancel=True)}}, {"trusting": True}):
        assert not [a for a in plan(gone(50, 50, **fields)) if isinstance(a, Pause)]


def test_records_speak_even_while_too_many_are_gone() -> None:
    s = gone(50, 50, records={attempt(): exit_record()})
    changed = [c.job for a in plan(s) if isinstance(a, ChangeJobs) for c in a.changes]
    assert changed == [0, 0]


def test_hints_go_once_their_job_is_not_out_any_more() -> None:
    hints = {attempt(0): "5e7-1.0.1", attempt(1): "5e7-1.1.1"}
    s = seen(flying(job=0), hints=hints, strange_hints=("README",))
    assert [a.names for a in plan(s) if isinstance(a, Tidy)] == [("5e7-1.1.1", "README")]


def test_a_hint_of_a_provisional_record_goes_for_the_worker_remembers_it() -> None:
    hints = {attempt(0): "5e7-1.0.1"}
    s = seen(flying(job=0), hints=hints, records={attempt(0): exit_record(provisional=True)})
    assert [a.names for a in plan(s) if isinstance(a, Tidy)] == [("5e7-1.0.1",)]


def test_an_ended_job_with_a_node_failure_gets_a_moment_to_be_started_again() -> None:
    s = seen(flying(), look=says(Phase.ENDED, Outcome.NODE_FAILURE), ended={flying().key: NOW - 5})
    assert plan(s) == ()
