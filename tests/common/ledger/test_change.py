"""Changing jobs: compare-and-set, the table of transitions, counters, sets and events."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest

from jobferry_common.errors import IllegalTransition, UnknownId
from jobferry_common.events import EventStream
from jobferry_common.ledger import Ledger, jobs
from jobferry_common.ledger.records import Change, JobRecord
from jobferry_common.names import RunId, SchedulerId
from jobferry_common.states import JOB_TRANSITIONS, JobState, Outcome
from tests.common.ledger.documents import (
    ALPHA,
    change_to,
    document,
    fence_of,
    finish,
    move,
    reserve,
)
from tests.testbed.broker import Broker

#: how a pending job gets into each state
WAYS: dict[JobState, tuple[JobState, ...]] = {
    JobState.PENDING: (),
    JobState.SUBMITTING: (JobState.SUBMITTING,),
    JobState.QUEUED: (JobState.SUBMITTING, JobState.QUEUED),
    JobState.RUNNING: (JobState.SUBMITTING, JobState.RUNNING),
    JobState.EXITED: (JobState.SUBMITTING, JobState.EXITED),
    JobState.FINISHED: (JobState.FINISHED,),
    JobState.FAILED: (JobState.FAILED,),
    JobState.CANCELLED: (JobState.CANCELLED,),
}


@pytest.mark.parametrize(("old", "new"), list(product(JobState, JobState)))
def test_the_store_repeats_the_table(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, old: JobState, new: JobState
) -> None:
    run = ledger.accept(document(tasks=1)).run
    move(ledger, run, 0, *WAYS[old])
    change = change_to(ledger, run, 0, new, reason="now")
    monkeypatch.setattr(jobs, "_check", lambda *_: None)
    legal = new in JOB_TRANSITIONS[old] or (old is new and not old.is_final)
    if legal:
        assert ledger.change(run, [change], fence=None) == [True]
        assert ledger.job(run, 0) == change.record
    else:
        with pytest.raises(IllegalTransition, match=f"from {old} .* to {new}"):
            ledger.change(run, [change], fence=None)
        assert ledger.job(run, 0).state is old


@pytest.mark.parametrize(
    "life",
    [
        "submitting queued running exited finished",
        "submitting queued running queued running exited finished",  # requeued by its scheduler
        "submitting running exited pending submitting failed",  # tried again, then refused
        "submitting pending cancelled",  # turned away, then nobody wants it any more
        "submitting exited finished",  # its record was read before its id
        "submitting queued exited failed",
        "submitting running exited cancelled",
        "submitting cancelled",  # it was never submitted, and nobody wants it any more
        "finished",  # an earlier run did it
        "failed",  # the scheduler cannot be told what it asks for
    ],
)
def test_every_life_that_a_job_may_have_is_legal(ledger: Ledger, life: str) -> None:
    run = ledger.accept(document(tasks=1)).run
    states = [JobState(word) for word in life.split()]
    move(ledger, run, 0, *states)
    assert ledger.job(run, 0).state is states[-1]


def test_a_forbidden_change_refuses_its_batch(ledger: Ledger) -> None:
    run = ledger.accept(document()).run
    good = change_to(ledger, run, 0, JobState.CANCELLED)
    bad = change_to(ledger, run, 1, JobState.RUNNING)
    with pytest.raises(IllegalTransition, match=f"{run}/1 cannot go from pending"):
        ledger.change(run, [good, bad], fence=None)
    assert ledger.run(run).counts[JobState.PENDING] == 3


@pytest.mark.parametrize(("to", "attempt"), [(JobState.PENDING, 3), (JobState.FINISHED, 2)])
def test_an_attempt_follows_by_one_and_only_for_a_retry(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, to: JobState, attempt: int
) -> None:
    run = ledger.accept(document(tasks=1)).run
    reserve(ledger, run, [0])
    move(ledger, run, 0, JobState.EXITED)
    change = change_to(ledger, run, 0, to, attempt=attempt)
    for _ in ("refused by the client", "refused by the store"):
        with pytest.raises(IllegalTransition):
            ledger.change(run, [change], fence=None)
        monkeypatch.setattr(jobs, "_check", lambda *_: None)


def test_a_change_of_what_no_longer_stands_is_not_made(ledger: Ledger) -> None:
    run = ledger.accept(document()).run
    stale = change_to(ledger, run, 0, JobState.CANCELLED)
    fresh = change_to(ledger, run, 1, JobState.CANCELLED)
    reserve(ledger, run, [0])
    assert ledger.change(run, [stale, fresh], fence=None) == [False, True]
    assert ledger.job(run, 0).state is JobState.SUBMITTING


def test_a_job_may_take_several_steps_in_one_batch(ledger: Ledger) -> None:
    run = ledger.accept(document()).run
    reserve(ledger, run, [0])
    exited = change_to(ledger, run, 0, JobState.EXITED, outcome=Outcome.SUCCEEDED)
    finished = Change(
        job=0, was=(JobState.EXITED, 1), record=replace(exited.record, state=JobState.FINISHED)
    )
    assert ledger.change(run, [exited, finished], fence=fence_of(ledger)) == [True, True]
    assert ledger.change(run, [exited, finished], fence=fence_of(ledger)) == [True, True]
    assert ledger.run(run).counts[JobState.FINISHED] == 1
    events = EventStream(ledger).read(run, "0", timedelta())
    assert [event.state for event in events if event.job == 0] == [
        "submitting",
        "exited",
        "finished",
    ]


def test_a_batch_is_one_entry_of_the_stream(ledger: Ledger) -> None:
    run = ledger.accept(document(tasks=50)).run
    reserve(ledger, run, range(50))
    key = ledger.key("run", run, "events")
    before = ledger.ask("XLEN", key)
    ledger.change(run, [change_to(ledger, run, i, JobState.QUEUED) for i in range(50)], fence=None)
    assert ledger.ask("XLEN", key) == before + 1


def test_a_new_reason_is_no_event(ledger: Ledger) -> None:
    run = ledger.accept(document(tasks=1)).run
    key = ledger.key("run", run, "events")
    before = ledger.ask("XLEN", key)
    change = change_to(ledger, run, 0, JobState.PENDING, reason="the queue is full", due=99.0)
    assert ledger.change(run, [change], fence=None) == [True]
    assert ledger.job(run, 0).reason == "the queue is full"
    assert ledger.due(ALPHA, now=98.0) == []
    assert ledger.ask("XLEN", key) == before


def test_what_ended_is_to_be_collected_if_it_ran(ledger: Ledger) -> None:
    run = ledger.accept(document(tasks=6)).run
    finish(ledger, run, 0)
    reserve(ledger, run, [1, 2, 3])
    move(ledger, run, 1, JobState.EXITED, JobState.FAILED)
    move(ledger, run, 2, JobState.EXITED, JobState.CANCELLED)
    move(ledger, run, 3, JobState.FAILED)
    move(ledger, run, 4, JobState.CANCELLED)
    assert ledger.to_collect(run) == [0, 1, 2]
    assert len(ledger.to_collect(run, limit=2)) == 2
    assert ledger.collectable(ALPHA) == [run]
    assert ledger.collected(run, [0, 2]) == 1
    assert ledger.collected(run, [1]) == 0
    assert ledger.collectable(ALPHA) == []


def test_a_cancelled_retry_has_the_logs_of_its_first_attempt(ledger: Ledger) -> None:
    run = ledger.accept(document(tasks=1)).run
    reserve(ledger, run, [0])
    move(ledger, run, 0, JobState.EXITED)
    ledger.change(run, [change_to(ledger, run, 0, JobState.PENDING, attempt=2)], fence=None)
    move(ledger, run, 0, JobState.CANCELLED)
    assert ledger.to_collect(run) == [0]


def test_a_run_is_to_be_judged_when_a_job_failed_or_nothing_is_left(ledger: Ledger) -> None:
    failing, ending = (ledger.accept(document(i, tasks=2)).run for i in (1, 2))
    finish(ledger, ending, 0)
    assert ledger.to_judge(ALPHA) == []
    move(ledger, failing, 0, JobState.FAILED)
    assert ledger.to_judge(ALPHA) == [failing]
    finish(ledger, ending, 1)
    assert ledger.to_judge(ALPHA) == [failing, ending]


def test_a_record_keeps_all_of_its_fields(ledger: Ledger) -> None:
    run = ledger.accept(document(tasks=1)).run
    reserve(ledger, run, [0])
    change = change_to(
        ledger,
        run,
        0,
        JobState.EXITED,
        id=SchedulerId("77_3"),
        outcome=Outcome.FAILED,
        code=137,
        tries=1,
        reason="a | b\nc",
    )
    ledger.change(run, [change], fence=None)
    assert ledger.job(run, 0) == replace(change.record, reason="a | b c")


def test_unknown_runs_and_jobs_are_named(ledger: Ledger) -> None:
    change = Change(job=0, was=(JobState.PENDING, 1), record=JobRecord(state=JobState.CANCELLED))
    with pytest.raises(UnknownId, match="no run nothing-1"):
        ledger.change(RunId("nothing-1"), [change], fence=None)
    run = ledger.accept(document()).run
    assert ledger.change(run, [replace(change, job=3)], fence=None) == [False]
    with pytest.raises(UnknownId, match="has no job 3: it has 3"):
        ledger.job(run, 3)


def test_jobs_are_listed_by_state_and_page(ledger: Ledger) -> None:
    run = ledger.accept(document(tasks=2500)).run
    reserve(ledger, run, [3, 2400])
    found = ledger.jobs(run, states={JobState.SUBMITTING})
    assert [job for job, _ in found] == [3, 2400]
    assert [job for job, _ in ledger.jobs(run, start=2490, count=5)] == list(range(2490, 2495))
    assert len(ledger.jobs(run, states={JobState.PENDING}, count=2000)) == 2000
    assert ledger.jobs(run, states={JobState.FAILED}) == []


def test_of_racing_changes_one_is_made(valkey: Broker, ledger: Ledger) -> None:
    run = ledger.accept(document(tasks=200)).run
    answers: dict[JobState, list[bool]] = {}
    ready = threading.Barrier(2)

    def race(state: JobState) -> None:
        own = Ledger(valkey.client())
        changes = [change_to(own, run, job, state) for job in range(200)]
        ready.wait()
        answers[state] = [own.change(run, [change], fence=None)[0] for change in changes]
        own.redis.close()

    states = (JobState.CANCELLED, JobState.FAILED)
    threads = [threading.Thread(target=race, args=(state,)) for state in states]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(one != other for one, other in zip(*answers.values(), strict=True))
    counts = ledger.run(run).counts
    assert {state: counts[state] for state in states} == {s: sum(answers[s]) for s in states}
