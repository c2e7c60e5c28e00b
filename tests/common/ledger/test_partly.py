"""Tasks that are taken over from jobs that did not finish, as the ledger holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobferry_common.ledger.partly import pack_tasks, unpack_tasks
from jobferry_common.states import JobState, RunState
from tests.common.ledger.documents import document, finish, move, reserve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

    from jobferry_common.ledger import Ledger
    from jobferry_common.names import RunId


def fail(ledger: Ledger, run: RunId, job: int, done: Sequence[int]) -> None:
    """Let a job fail, with the results of these tasks brought."""
    assert reserve(ledger, run, [job])
    move(ledger, run, job, JobState.EXITED, JobState.FAILED)
    ledger.note_done(run, {job: done})
    ledger.collected(run, [job])


@pytest.mark.parametrize("size", [1, 8, 9, 500, 100_000])
def test_a_bitmap_holds_just_the_tasks_that_are_in_it(size: int) -> None:
    own = range(1000, 1000 + size)
    for some in (set(), set(own), set(own[::3]), {own[-1]}):
        text = pack_tasks(some, own)
        assert unpack_tasks(text, own) == some
        assert len(text) <= 20_000


def test_tasks_of_a_failed_job_are_taken_over_with_those_of_finished_ones(ledger: Ledger) -> None:
    work = document(tasks=9, group=3)
    first = ledger.accept(work).run
    finish(ledger, first, 0)
    fail(ledger, first, 1, [3, 5])
    ledger.change_run(first, state=RunState.FAILED)
    second = ledger.accept(work)
    assert second.taken_over == 5
    run = ledger.run(second.run)
    assert (run.resumes, run.counts[JobState.FINISHED], run.counts[JobState.PENDING]) == (
        first,
        1,
        2,
    )
    assert ledger.taken_tasks(second.run, [0, 1, 2]) == {3, 5}


def test_a_failed_job_all_of_whose_tasks_are_done_is_finished_from_the_start(
    ledger: Ledger,
) -> None:
    first = ledger.accept(document(tasks=3, group=3)).run
    fail(ledger, first, 0, [0, 1, 2])
    ledger.change_run(first, state=RunState.FAILED)
    second = ledger.accept(document(tasks=3, group=3))
    assert second.taken_over == 3
    assert ledger.run(second.run).counts[JobState.FINISHED] == 1


def test_of_a_finished_job_nothing_is_noted(ledger: Ledger, redis: Redis) -> None:
    run = ledger.accept(document(tasks=3, group=3)).run
    finish(ledger, run, 0)
    ledger.note_done(run, {0: [0, 1, 2]})
    assert not redis.exists(f"jobferry:run:{run}:done")


def test_in_place_a_directory_may_be_shared_with_what_is_done_again(ledger: Ledger) -> None:
    for number, in_place, count in ((1, True, 1), (2, False, 0)):
        work = document(number, paths=["a", "a"], group=2, in_place=in_place)
        run = ledger.accept(work).run
        fail(ledger, run, 0, [0])
        ledger.change_run(run, state=RunState.FAILED)
        assert ledger.accept(work).taken_over == count


def test_of_tasks_that_are_alike_none_is_done_before_all_are(ledger: Ledger) -> None:
    work = document(paths=["a", "a"], group=2, in_place=True)
    tasks = (work.tasks[0], work.tasks[0])
    alike = type(work)(header=work.header, tasks=tasks)
    run = ledger.accept(alike).run
    fail(ledger, run, 0, [0])
    ledger.change_run(run, state=RunState.FAILED)
    assert ledger.accept(alike).taken_over == 0


def test_what_is_given_back_is_counted_once(ledger: Ledger) -> None:
    work = document(tasks=3, group=3)
    first = ledger.accept(work).run
    fail(ledger, first, 0, [0, 2])
    ledger.change_run(first, state=RunState.FAILED)
    run = ledger.accept(work).run
    for _ in range(2):
        ledger.give_back(run, [2])
    assert (ledger.run(run).taken_over, ledger.taken_tasks(run, [0])) == (1, {0})
    ledger.give_back(run, [0])
    assert (ledger.run(run).taken_over, ledger.all_taken_tasks(run)) == (0, {})


def test_a_removed_run_leaves_nothing_of_this(ledger: Ledger, redis: Redis) -> None:
    work = document(tasks=3, group=3)
    for _ in range(2):
        run = ledger.accept(work).run
        fail(ledger, run, 0, [0])
        ledger.change_run(run, state=RunState.FAILED)
    assert redis.exists(f"jobferry:run:{run}:done", f"jobferry:run:{run}:taken") == 2
    ledger.forget(run)
    assert not list(redis.scan_iter(f"*{run}*"))
