"""Accepting submissions."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.errors import BrokerUnreachable, Conflict
from jobferry_common.ledger import Ledger
from jobferry_common.ledger.records import Accepted
from jobferry_common.names import RunId
from jobferry_common.states import JobState, ResultsState, RunState
from tests.common.ledger.documents import ALPHA, document, fence_of, finish, move, reserve

if TYPE_CHECKING:
    from redis import Redis

    from jobferry_common.document import Document
    from tests.testbed.broker import Broker


def end(ledger: Ledger, run: RunId, state: RunState) -> None:
    assert ledger.change_run(run, state=state)


def test_an_accepted_submission_is_there_as_a_whole(ledger: Ledger) -> None:
    submission = document(tasks=5, group=2, name="melt", forward_common=("a", "b"))
    accepted = ledger.accept(submission)
    run = ledger.run(accepted.run)
    assert accepted == Accepted(run=RunId("000000000001-1"), attached=False)
    assert (run.state, run.results, run.jobs, run.tasks) == ("accepted", "remote", 3, 5)
    assert (run.name, run.owner, run.staged, run.cancel) == ("melt", "alice@laptop", False, False)
    assert run.counts[JobState.PENDING] == 3
    assert ledger.header(accepted.run) == submission.header
    assert ledger.tasks(accepted.run, [4, 0, 99]) == {
        0: submission.tasks[0],
        4: submission.tasks[4],
    }
    assert ledger.open_runs(ALPHA) == [accepted.run]


def test_a_long_submission_is_read_page_by_page(ledger: Ledger) -> None:
    submission = document(tasks=2500)
    run = ledger.accept(submission).run
    pages = list(ledger.task_pages(run))
    assert [len(page) for page in pages] == [1000, 1000, 500]
    assert [task for page in pages for _, task in page] == list(submission.tasks)
    assert ledger.tasks(run, [1999])[1999] == submission.tasks[1999]


def test_the_same_submission_attaches_while_it_is_in_flight(ledger: Ledger) -> None:
    first = ledger.accept(document())
    assert ledger.accept(document()) == Accepted(run=first.run, attached=True)


@pytest.mark.parametrize("other", [{"owner": "bob@desk"}, {"source": "/elsewhere"}])
def test_from_another_owner_or_place_it_is_another_run(
    ledger: Ledger, other: dict[str, str]
) -> None:
    here: dict[str, Any] = {"source": "/here"}
    there = {**here, **other}
    first = ledger.accept(document(**here)).run
    second = ledger.accept(document(**there))
    assert second == Accepted(run=RunId("000000000001-2"), attached=False)
    assert ledger.accept(document(**here)) == Accepted(run=first, attached=True)
    assert ledger.accept(document(**there)) == Accepted(run=second.run, attached=True)


def test_a_copy_takes_nothing_over_and_each_resumes_its_own(ledger: Ledger) -> None:
    for source, job in (("/one", 0), ("/two", 1)):
        submission = document(source=source)
        run = ledger.accept(submission)
        assert run.taken_over == 0
        finish(ledger, run.run, job)
        end(ledger, run.run, RunState.FAILED)
    for source, job in (("/one", 0), ("/two", 1)):
        again = ledger.accept(document(source=source))
        assert again.taken_over == 1
        assert ledger.job(again.run, job).state is JobState.FINISHED


def test_copies_that_are_submitted_together_get_a_run_each(ledger: Ledger) -> None:
    answers = ledger.accept_many([document(source=source) for source in ("/one", "/two", "/one")])
    told = [(one.run, one.attached) for one in answers if isinstance(one, Accepted)]
    names = [RunId("000000000001-1"), RunId("000000000001-2")]
    assert told == [(names[0], False), (names[1], False), (names[0], True)]


def test_results_of_a_copy_are_not_kept_back_for_those_of_the_other(ledger: Ledger) -> None:
    first, second = (ledger.accept(document(source=source)).run for source in ("/one", "/two"))
    finish(ledger, second, 0)
    end(ledger, second, RunState.FAILED)
    assert (ledger.done_again(first, [0]), ledger.ended_later(first)) == ({}, None)


def test_another_user_of_the_same_directory_waits_for_it(ledger: Ledger) -> None:
    run = ledger.accept(document(source="/here")).run
    with pytest.raises(Conflict, match=f"run {run} of alice@laptop works in a directory"):
        ledger.accept(document(source="/here", owner="bob@laptop"))


def test_without_reuse_a_submission_in_flight_is_a_conflict(ledger: Ledger) -> None:
    run = ledger.accept(document()).run
    with pytest.raises(Conflict, match=f"jobferry cancel {run}"):
        ledger.accept(document(), reuse=False)


def test_after_success_a_fresh_run_starts(ledger: Ledger) -> None:
    first = ledger.accept(document(tasks=1)).run
    finish(ledger, first, 0)
    end(ledger, first, RunState.FINISHED)
    assert ledger.accept(document(tasks=1)) == Accepted(run=RunId("000000000001-2"), attached=False)


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.CANCELLED])
def test_after_failure_finished_work_is_taken_over(ledger: Ledger, state: RunState) -> None:
    first = ledger.accept(document(tasks=6, group=2)).run
    finish(ledger, first, 1)
    end(ledger, first, state)
    second = ledger.accept(document(tasks=6, group=2))
    assert second.taken_over == 2
    run = ledger.run(second.run)
    assert (run.resumes, run.taken_over, run.counts[JobState.FINISHED]) == (first, 2, 1)
    assert [job for job, _ in ledger.due(ALPHA, now=1e12)[0][1]] == [0, 2]
    assert ledger.to_collect(second.run) == []


def test_work_is_taken_over_through_several_runs(ledger: Ledger) -> None:
    for job in range(2):
        run = ledger.accept(document()).run
        finish(ledger, run, job)
        end(ledger, run, RunState.FAILED)
    assert ledger.accept(document()).taken_over == 2


def test_only_unchanged_tasks_are_taken_over(ledger: Ledger) -> None:
    submission = document(tasks=2)
    first = ledger.accept(submission).run
    finish(ledger, first, 0)
    finish(ledger, first, 1)
    end(ledger, first, RunState.FAILED)
    changed = replace(submission.tasks[1], key="other")
    second = ledger.accept(replace(submission, tasks=(submission.tasks[0], changed)))
    assert second.taken_over == 1
    assert ledger.job(second.run, 1).state is JobState.PENDING


def test_a_run_of_which_all_is_taken_over_is_to_be_judged_at_once(ledger: Ledger) -> None:
    first = ledger.accept(document(tasks=1)).run
    finish(ledger, first, 0)
    end(ledger, first, RunState.CANCELLED)
    second = ledger.accept(document(tasks=1)).run
    assert ledger.to_judge(ALPHA) == [second]
    assert ledger.due(ALPHA, now=1e12) == []


def test_without_reuse_nothing_is_taken_over(ledger: Ledger) -> None:
    first = ledger.accept(document()).run
    finish(ledger, first, 0)
    end(ledger, first, RunState.FAILED)
    assert ledger.accept(document(), reuse=False).taken_over == 0


def test_a_directory_has_one_active_run(ledger: Ledger) -> None:
    first = ledger.accept(document(1, source="/data", paths=["x/a", "x/b"])).run
    overlapping = document(2, source="/data/x", paths=["c", "./b"])
    with pytest.raises(Conflict, match=f"run {first} of alice@laptop works in a directory"):
        ledger.accept(overlapping)
    assert ledger.runs()[0].id == first
    end(ledger, first, RunState.CANCELLED)
    assert not ledger.accept(overlapping).attached


def test_equal_paths_of_different_hosts_are_different_directories(ledger: Ledger) -> None:
    ledger.accept(document(1, source="/data"))
    assert not ledger.accept(document(2, source="/data", owner="bob@desk")).attached


def test_in_place_hosts_share_the_directory(ledger: Ledger) -> None:
    ledger.accept(document(1, source="/data", in_place=True))
    with pytest.raises(Conflict):
        ledger.accept(document(2, source="/data", owner="bob@desk", in_place=True))


def test_an_ended_run_leaves_no_mark(ledger: Ledger, redis: Redis) -> None:
    run = ledger.accept(document(tasks=2100)).run
    assert redis.hlen("jobferry:directories") == 2100
    end(ledger, run, RunState.CANCELLED)
    assert redis.hlen("jobferry:directories") == 0


def test_many_are_accepted_and_a_refused_one_stops_no_other(ledger: Ledger) -> None:
    documents = [document(i, tasks=1, source="/same" if i in {3, 7} else None) for i in range(450)]
    answers = ledger.accept_many(documents)
    assert [i for i, answer in enumerate(answers) if isinstance(answer, Conflict)] == [7]
    assert len(ledger.runs()) == 449


def test_many_attach_and_resume_as_one_does(ledger: Ledger) -> None:
    ended = ledger.accept(document(1)).run
    finish(ledger, ended, 0)
    end(ledger, ended, RunState.FAILED)
    running = ledger.accept(document(2)).run
    answers = ledger.accept_many([document(1), document(2), document(3, tasks=1500)])
    told = [answer for answer in answers if isinstance(answer, Accepted)]
    assert [(one.attached, one.taken_over) for one in told] == [(False, 1), (True, 0), (False, 0)]
    assert told[1].run == running


def test_threads_that_submit_the_same_get_one_run(valkey: Broker) -> None:
    answers: list[Accepted] = []
    ready = threading.Barrier(4)

    def submit() -> None:
        ledger = Ledger(valkey.client())
        ready.wait()
        answers.append(ledger.accept(document(tasks=50)))
        ledger.redis.close()

    threads = [threading.Thread(target=submit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.run for answer in answers} == {"000000000001-1"}
    assert [answer.attached for answer in answers].count(False) == 1


def test_a_call_that_is_sent_again_knows_its_own_run(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Ledger.call

    def twice(self: Ledger, script: str, *arguments: str | float | bytes) -> object:
        original(self, script, *arguments)
        return original(self, script, *arguments)

    monkeypatch.setattr(Ledger, "call", twice)
    assert ledger.accept(document()) == Accepted(run=RunId("000000000001-1"), attached=False)


def test_pages_without_a_run_mean_nothing_and_expire(
    ledger: Ledger, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> object:
        msg = "gone"
        raise BrokerUnreachable(msg)

    with monkeypatch.context() as patch, pytest.raises(BrokerUnreachable):
        patch.setattr(Ledger, "call", broken)
        ledger.accept(document())
    left = list(redis.scan_iter("jobferry:*"))
    assert len(left) == 1
    assert redis.ttl(left[0]) > 0
    assert ledger.runs() == []


def test_lost_pages_are_brought_again(
    ledger: Ledger, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring = Ledger._bring
    brought: list[Document] = []

    def forgetful(self: Ledger, offer: object) -> None:
        bring(self, offer)  # type: ignore[arg-type]
        brought.append(document())
        if len(brought) == 1:
            redis.delete(*redis.scan_iter("jobferry:content:*"))

    monkeypatch.setattr(Ledger, "_bring", forgetful)
    assert ledger.header(ledger.accept(document()).run) == document().header


def test_a_cleaned_run_frees_its_name_for_nobody(ledger: Ledger, redis: Redis) -> None:
    run = ledger.accept(document(machine={"batch_type": "Shell"}, cluster="inline-1")).run
    assert ledger.profile("inline-1") == {"batch_type": "Shell"}
    with pytest.raises(Conflict, match="has not ended"):
        ledger.forget(run)
    end(ledger, run, RunState.CANCELLED)
    ledger.forget(run)
    ledger.forget(run)
    assert ledger.profile("inline-1") is None
    assert not list(redis.scan_iter(f"*{run}*"))
    assert ledger.accept(document()).run == "000000000001-2"


def test_results_are_a_field_of_their_own(ledger: Ledger) -> None:
    run = ledger.accept(document(tasks=1)).run
    assert reserve(ledger, run, [0])
    move(ledger, run, 0, JobState.EXITED, JobState.FINISHED)
    assert ledger.change_run(
        run, state=RunState.FINISHED, was=RunState.ACTIVE, fence=fence_of(ledger)
    )
    assert ledger.change_run(run, results=ResultsState.DELIVERED)
    assert ledger.run(run).results is ResultsState.DELIVERED
