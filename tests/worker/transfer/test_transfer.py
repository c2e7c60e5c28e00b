"""Bulk files: brought once, fetched as jobs end, removed only when all is back."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobferry_common.document import Policy
from jobferry_common.errors import StagingError
from jobferry_common.states import JobState, ResultsState, RunState
from jobferry_worker.staging.local import Local
from tests.common.ledger.documents import ALPHA, reserve
from tests.worker.transfer.moving import LINE, World, raising

if TYPE_CHECKING:
    from jobferry_common.ledger import Ledger


@pytest.fixture
def world(ledger: Ledger, tmp_path: Path) -> World:
    return World(ledger, tmp_path, forward_common=("common",))


def test_files_are_brought_and_the_run_is_staged(world: World) -> None:
    world.stage()
    assert world.record.staged
    assert [world.base(f"task.{i}/in").read_text() for i in range(3)] == [LINE] * 3
    assert world.base("common").read_text() == LINE
    assert all(Path(path).is_dir() for path in world.layout.directories)


def test_staging_twice_is_harmless(world: World) -> None:
    world.stage()
    world.ledger.change_run(world.run, staged=False)
    world.stage()
    assert world.record.staged


def test_a_missing_file_ends_every_job_and_names_its_path(world: World) -> None:
    (world.source / "task.1" / "in").unlink()
    world.stage()
    assert not world.record.staged
    records = [record for _, record in world.ledger.jobs(world.run)]
    assert [record.state for record in records] == [JobState.FAILED] + [JobState.CANCELLED] * 2
    assert str(world.source / "task.1" / "in") in records[0].reason


def test_a_full_disk_makes_the_run_wait_and_say_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Local, "stage", raising(errno.ENOSPC))
        with pytest.raises(StagingError):
            world.stage()
    assert "No space left on device" in world.record.reason
    assert (world.record.staged, world.record.counts[JobState.PENDING]) == (False, 3)
    world.stage()
    assert (world.record.staged, world.record.reason) == (True, "")


def test_what_lacks_on_the_cluster_is_not_the_submissions_fault(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Local, "stage", raising(errno.ENOENT))
    with pytest.raises(StagingError):
        world.stage()
    assert world.record.counts[JobState.PENDING] == 3


def test_a_directory_that_is_not_mounted_is_waited_for_but_not_for_ever(world: World) -> None:
    shutil.move(world.source, world.source.parent / "elsewhere")
    with pytest.raises(StagingError, match="there is no directory"):
        world.stage()
    assert world.record.counts[JobState.PENDING] == 3
    assert str(world.source) in world.record.reason
    timings = world.settings.timings.model_copy(update={"grace_seconds": 0.0})
    world.settings = world.settings.model_copy(update={"timings": timings})
    world.stage()
    assert world.record.counts[JobState.PENDING] == 0


def test_results_come_back_while_other_jobs_still_wait(world: World) -> None:
    world.stage()
    world.succeed(1)
    world.collect()
    assert (world.source / "task.1" / "out").read_text() == "out of 1\n"
    assert (world.record.results, world.ledger.to_collect(world.run)) == (ResultsState.REMOTE, [])
    assert world.base().exists()


def test_of_a_failed_task_the_logs_come_back(world: World) -> None:
    world.stage()
    world.fail(0)
    world.collect()
    assert world.back("task.0/log")
    assert world.back("task.0/err")
    assert world.record.reason == ""


@pytest.mark.parametrize(
    ("policy", "state", "results"),
    [
        ("always", RunState.FINISHED, ResultsState.CLEANED),
        ("always", RunState.FAILED, ResultsState.CLEANED),
        ("on_success", RunState.FINISHED, ResultsState.CLEANED),
        ("on_success", RunState.FAILED, ResultsState.DELIVERED),
        ("never", RunState.FINISHED, ResultsState.DELIVERED),
    ],
)
def test_the_policy_says_when_the_directory_is_removed(
    ledger: Ledger, tmp_path: Path, policy: str, state: RunState, results: ResultsState
) -> None:
    world = World(ledger, tmp_path, policy=Policy(clean=policy))
    world.stage()
    world.succeed(0)
    world.end(state)
    assert ledger.collectable(ALPHA) == [world.run]
    world.collect()
    assert (world.record.results, world.back("task.0/out")) == (results, True)
    assert world.base().exists() is (results is ResultsState.DELIVERED)
    assert ledger.collectable(ALPHA) == []


def test_a_run_without_a_single_ended_job_is_delivered_too(world: World) -> None:
    world.end(RunState.CANCELLED)
    assert world.ledger.collectable(ALPHA) == [world.run]
    world.collect()
    assert world.record.results is ResultsState.CLEANED
    assert world.ledger.collectable(ALPHA) == []


def test_nothing_is_delivered_or_removed_while_a_job_is_out(world: World) -> None:
    world.stage()
    reserve(world.ledger, world.run, [0])
    world.end(RunState.FAILED, "job 1 failed")
    world.collect()
    world.clean()
    assert world.record.results is ResultsState.REMOTE
    assert world.base("task.0/in").exists()
    assert world.ledger.collectable(ALPHA) == [world.run]


def test_cleaning_that_was_cut_short_is_done_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.stage()
    world.end()
    with monkeypatch.context() as patch:
        patch.setattr(Local, "clean", raising(errno.EBUSY))
        with pytest.raises(StagingError):
            world.collect()
    assert world.record.results is ResultsState.DELIVERED
    assert world.ledger.collectable(ALPHA) == [world.run]
    world.collect()
    assert (world.record.results, world.base().exists()) == (ResultsState.CLEANED, False)
    assert world.ledger.collectable(ALPHA) == []


def test_results_that_cannot_be_written_are_kept_on_the_cluster(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect of DPDispatcher: after a day of failing downloads the remote directory is deleted."""
    world.stage()
    world.succeed(0)
    world.end()
    with monkeypatch.context() as patch:
        patch.setattr(Local, "collect", raising(errno.EDQUOT))
        with pytest.raises(StagingError):
            world.collect()
    assert (world.record.results, world.base("task.0/out").exists()) == (ResultsState.REMOTE, True)
    assert "cannot be moved now" in world.record.reason
    world.collect()
    assert (world.back("task.0/out"), world.record.reason) == (True, "")


def test_why_a_run_failed_is_not_overwritten(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.stage()
    world.fail(0)
    world.end(RunState.FAILED, "job 0 failed")
    monkeypatch.setattr(Local, "collect", raising(errno.EDQUOT))
    with pytest.raises(StagingError):
        world.collect()
    assert world.record.reason == "job 0 failed"
