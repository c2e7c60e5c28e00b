"""Bulk files when something lacks, is in the way, is late, or when two are at it."""

from __future__ import annotations

import errno
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.document import Policy
from jobferry_common.errors import LeaseLost, NoSession, StagingError
from jobferry_common.ledger.findings import FailedTask
from jobferry_common.ledger.pages import destination_of
from jobferry_common.names import AttemptKey
from jobferry_common.states import ResultsState, RunState
from jobferry_worker.staging.local import Local
from tests.common.ledger.documents import ALPHA, document
from tests.worker.transfer.moving import LINE, RECORD, World, raising

if TYPE_CHECKING:
    from jobferry_common.document import Header
    from jobferry_common.ledger import Ledger
    from jobferry_common.scripts.layout import Layout
    from jobferry_worker.staging.base import Lacking


@pytest.fixture
def world(ledger: Ledger, tmp_path: Path) -> World:
    return World(ledger, tmp_path, forward_common=("common",))


def test_a_result_that_a_successful_task_lacks_is_named_and_nothing_is_removed(
    world: World,
) -> None:
    world.stage()
    world.succeed(0, out=False)
    world.end()
    world.collect()
    assert "'out', a backward file of task 0 (task.0), does not exist" in world.record.reason
    assert (world.record.results, world.base().exists()) == (ResultsState.DELIVERED, True)


@pytest.mark.parametrize("state", [RunState.FINISHED, RunState.FAILED])
def test_one_result_that_cannot_be_put_in_its_place_stays_and_the_others_come(
    ledger: Ledger, tmp_path: Path, state: RunState
) -> None:
    world = World(ledger, tmp_path, policy=Policy(clean="always"))
    world.stage()
    for job in range(3):
        world.succeed(job)
    (world.source / "task.1" / "out").mkdir()
    world.end(state, "job 2 failed" if state is RunState.FAILED else "")
    world.collect()
    assert (world.back("task.0/out"), world.back("task.2/out")) == (True, True)
    assert (world.record.results, world.base("task.1/out").exists()) == (
        ResultsState.DELIVERED,
        True,
    )
    assert ledger.collectable(ALPHA) == []
    assert f"{world.source}/task.1/out: Is a directory" in ledger.lack(world.run)
    if state is RunState.FINISHED:
        assert f"{world.source}/task.1/out" in world.record.reason


def test_a_job_whose_results_cannot_be_read_now_does_not_keep_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.stage()
    world.succeed(0, out=False)
    world.succeed(1)
    world.succeed(2)
    world.end()

    def collect(staging: Local, header: Header, tasks: Any, layout: Layout) -> list[Lacking]:
        pairs = list(tasks)
        if any(task.path == "task.1" for task, _ in pairs):
            raising(errno.EIO)()
        return real(staging, header, pairs, layout)

    real = Local.collect
    with monkeypatch.context() as patch:
        patch.setattr(Local, "collect", collect)
        with pytest.raises(StagingError):
            world.collect()
    assert (world.back("task.2/out"), world.back("task.1/out")) == (True, False)
    assert ("cannot be moved now" in world.record.reason, world.record.results) == (
        True,
        ResultsState.REMOTE,
    )
    world.collect()
    assert (world.back("task.1/out"), world.record.results) == (True, ResultsState.DELIVERED)
    assert "'out', a backward file of task 0" in world.record.reason


def test_what_could_not_be_put_in_its_place_comes_when_it_is_fetched_again(
    ledger: Ledger, tmp_path: Path
) -> None:
    world = World(ledger, tmp_path, policy=Policy(clean="always"))
    world.stage()
    for job in range(3):
        world.succeed(job)
    (world.source / "task.1" / "out").mkdir()
    world.end()
    world.collect()
    assert f"once that is mended: jobferry fetch {world.run}" in world.record.reason
    (world.source / "task.1" / "out").rmdir()
    assert ledger.bring_again(world.run)
    assert (world.record.results, world.record.reason) == (ResultsState.REMOTE, "")
    assert ledger.collectable(ALPHA) == [world.run]
    world.collect()
    assert world.back("task.1/out")
    assert (world.record.results, world.record.reason) == (ResultsState.CLEANED, "")
    assert not world.base().exists()
    assert not ledger.bring_again(world.run)


def test_fetching_again_says_why_the_run_failed_and_what_still_lacks(
    ledger: Ledger, tmp_path: Path
) -> None:
    world = World(ledger, tmp_path)
    world.stage()
    world.succeed(0)
    (world.source / "task.0" / "out").mkdir()
    world.end(RunState.FAILED, "job 1 failed")
    world.collect()
    assert ledger.bring_again(world.run)
    assert (world.record.reason, ledger.lack(world.run)) == ("job 1 failed", "")
    world.collect()
    assert (world.record.results, world.record.reason) == (ResultsState.DELIVERED, "job 1 failed")
    assert "Is a directory" in ledger.lack(world.run)


def test_what_lacked_before_the_run_ended_is_said_afterwards(world: World) -> None:
    world.stage()
    world.succeed(0, out=False)
    world.collect()
    world.end(reason="")
    assert world.record.reason == ""
    world.collect()
    assert "'out', a backward file of task 0" in world.record.reason
    assert (world.record.results, world.base().exists()) == (ResultsState.DELIVERED, True)


def test_results_of_a_later_run_are_not_overwritten_by_older_ones(
    ledger: Ledger, tmp_path: Path
) -> None:
    world = World(ledger, tmp_path, policy=Policy(clean="always"), backward_common=("total",))
    world.stage()
    world.succeed(0)
    world.fail(1)
    world.fail(2)
    world.base("total").write_text("old")
    older = world.run
    world.end(RunState.FAILED, "job 1 failed")
    world.run = ledger.accept(world.document).run
    world.stage()
    world.succeed(1)
    world.base("task.1/log").write_text("new")
    world.base("total").write_text("new")
    world.end(RunState.CANCELLED)
    world.collect()
    assert (world.record.results, world.back("task.0/out")) == (ResultsState.CLEANED, False)
    world.run = older
    world.collect()
    assert (world.back("task.0/out"), world.back("task.2/log")) == (True, True)
    assert (world.source / "task.1/log").read_text() == "new"
    assert (world.source / "total").read_text() == "new"
    assert world.base("task.1/log").read_text() == "log of 1\n"
    assert (world.record.results, world.record.reason) == (ResultsState.DELIVERED, "job 1 failed")


def test_two_runs_of_a_submission_bring_results_one_after_the_other(world: World) -> None:
    account = f"results:{destination_of(world.document.header)}"
    world.stage()
    world.succeed(0)
    held = world.ledger.acquire(account, "another", timedelta(minutes=1))
    assert held is not None
    world.collect()
    assert not world.back("task.0/out")
    world.ledger.release(account, held)
    world.collect()
    assert world.back("task.0/out")


def test_which_task_failed_is_known_after_cleaning(ledger: Ledger, tmp_path: Path) -> None:
    world = World(ledger, tmp_path, policy=Policy(clean="always"))
    world.stage()
    world.fail(1)
    record = Path(world.layout.record(AttemptKey(1, 1)))
    record.write_text(RECORD)
    world.end(RunState.FAILED, "job 1 failed")
    world.collect()
    assert (world.record.results, record.exists()) == (ResultsState.CLEANED, False)
    assert ledger.failures(world.run, [0, 1]) == {1: [FailedTask(task=1, code=3)]}


def test_common_results_come_back_at_the_end(ledger: Ledger, tmp_path: Path) -> None:
    world = World(ledger, tmp_path, backward_common=("total*",))
    world.stage()
    world.base("total.dat").write_text(LINE)
    world.succeed(0)
    world.end()
    world.collect()
    assert (world.source / "total.dat").read_text() == LINE


def test_in_place_results_are_delivered_at_once_and_only_our_own_files_go(
    ledger: Ledger, tmp_path: Path
) -> None:
    world = World(ledger, tmp_path, in_place=True)
    world.stage()
    for job in range(3):
        world.succeed(job)
    world.end()
    world.collect()
    assert world.record.results is ResultsState.CLEANED
    assert (world.back("task.0/in"), world.back("task.0/out")) == (True, True)
    assert not Path(world.layout.control).exists()


def test_the_user_may_have_a_run_removed_that_its_policy_keeps(
    ledger: Ledger, tmp_path: Path
) -> None:
    world = World(ledger, tmp_path, policy=Policy(clean="never"))
    world.stage()
    world.clean()
    assert world.base().exists()
    world.end()
    world.collect()
    world.clean()
    assert (world.record.results, world.base().exists()) == (ResultsState.CLEANED, False)
    world.clean()


def test_one_at_a_time_works_on_the_files_of_a_run(world: World) -> None:
    held = world.ledger.acquire(f"files:{world.run}", "another", timedelta(minutes=1))
    assert held is not None
    world.stage()
    assert (world.record.staged, world.base().exists()) == (False, False)
    world.ledger.release(f"files:{world.run}", held)
    world.stage()
    assert world.record.staged


def test_who_lost_the_lease_stops(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.ledger, "renew", lambda *_: False)
    with pytest.raises(LeaseLost, match="somebody else goes on"):
        world.stage()
    assert not world.record.staged


def test_results_of_a_run_that_gave_its_directories_up_stay_on_the_cluster(
    ledger: Ledger, tmp_path: Path
) -> None:
    world = World(ledger, tmp_path, policy=Policy(clean="always"), backward_common=("total",))
    world.stage()
    world.succeed(0)
    world.base("total").write_text(LINE)
    ledger.wish_cancel(world.run)  # no worker ever announced its cluster: it is out of reach
    other = ledger.accept(document(2, source=str(world.source))).run
    world.end(RunState.CANCELLED, "cancelled on request")
    world.collect()
    assert (world.back("task.0/out"), world.back("total")) == (False, False)
    assert f"run {other} has its directories by now" in ledger.lack(world.run)
    assert (world.record.results, world.base("task.0/out").exists()) == (
        ResultsState.DELIVERED,
        True,
    )
    world.clean()
    assert not world.base().exists()


def test_a_machine_without_room_for_a_stream_is_named_by_the_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        msg = "hpc1 opens no session: MaxSessions in its sshd_config should be 10 or more"
        raise NoSession(msg)

    with monkeypatch.context() as patch:
        patch.setattr(Local, "stage", refuse)
        with pytest.raises(NoSession):
            world.stage()
    assert "cannot be moved now: hpc1 opens no session" in world.record.reason
    world.stage()
    assert (world.record.staged, world.record.reason) == (True, "")
