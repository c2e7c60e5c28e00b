"""Work through broker, worker, beat and a real Slurm, and back."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from jobferry_common.states import JobState, Outcome, RunState
from tests.testbed.work import COPY, PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.testbed.fleet import Fleet
    from tests.testbed.slurm import SlurmCluster
    from tests.testbed.work import Work

pytestmark = pytest.mark.needs("slurm", "valkey")


def test_work_goes_there_and_comes_back(
    fleet: Fleet, slurm: SlurmCluster, make_work: Callable[..., Work]
) -> None:
    work = make_work(*[COPY] * 12)
    handle = fleet.submit(work.submission(cluster="alpha"))
    result = handle.result(PATIENCE)
    assert result.run.state is RunState.FINISHED
    assert work.everything_came_back()
    assert work.starts() == [1] * 12
    [submit] = slurm.wrappers.calls("sbatch")
    assert any(word.startswith("--array") for word in submit)


def test_work_runs_in_place(
    fleet: Fleet, slurm: SlurmCluster, make_work: Callable[..., Work]
) -> None:
    work = make_work(*[COPY] * 5)
    result = fleet.submit(work.submission(cluster="here", group_size=2)).result(PATIENCE)
    assert result.finished == 3
    assert work.everything_came_back()
    assert work.starts() == [1] * 5
    assert len(slurm.wrappers.calls("sbatch")) in (1, 2)


def test_a_cluster_is_asked_seldom(
    fleet: Fleet, slurm: SlurmCluster, make_work: Callable[..., Work]
) -> None:
    """A defect of DPDispatcher: one status command for each job and poll."""
    work = make_work(*[COPY] * 30)
    fleet.submit(work.submission(cluster="alpha")).result(PATIENCE)
    calls = [name for _, name, _ in slurm.wrappers.every_call()]
    times = [at for at, name, _ in slurm.wrappers.every_call() if name == "squeue"]
    spent = max(times, default=0) - min(times, default=0)
    looks = 2 + math.ceil(spent / 2)  # look_seconds of the tests
    assert calls.count("sbatch") == 1
    assert calls.count("squeue") <= looks
    assert len(calls) - 1 <= 2 * looks + 2


def test_an_array_is_split_at_the_limit_of_the_cluster(
    make_fleet: Callable[..., Fleet], slurm: SlurmCluster, make_work: Callable[..., Work]
) -> None:
    fleet = make_fleet({"max_array": 4})
    work = make_work(*[COPY] * 10)
    fleet.submit(work.submission(cluster="alpha")).result(PATIENCE)
    assert work.starts() == [1] * 10
    assert len(slurm.wrappers.calls("sbatch")) == 3


def test_a_task_that_fails_is_tried_again_and_then_told(
    fleet: Fleet, make_work: Callable[..., Work]
) -> None:
    work = make_work(COPY, "echo no minimum found >&2; exit 3", COPY)
    submission = work.submission(cluster="alpha", continue_on_failure=True)
    result = fleet.submit(submission).result(PATIENCE, checked=False)
    assert result.run.state is RunState.FAILED
    [failure] = result.failures
    assert (failure.task, failure.code) == (1, 3)
    assert "no minimum found" in "".join(failure.stderr)
    assert work.starts() == [1, 4, 1]
    assert work.outputs() == ["input 0\n", None, "input 2\n"]


def test_only_unfinished_tasks_of_a_job_are_tried_again(
    fleet: Fleet, make_work: Callable[..., Work]
) -> None:
    flaky = "[ -e mark ] || { touch mark; exit 1; }; cat in > out"
    work = make_work(COPY, flaky, COPY)
    result = fleet.submit(work.submission(cluster="alpha", group_size=3)).result(PATIENCE)
    assert result.run.state is RunState.FINISHED
    assert work.starts() == [1, 2, 1]
    assert work.everything_came_back()


def test_a_missing_result_is_named(fleet: Fleet, make_work: Callable[..., Work]) -> None:
    work = make_work("true")
    result = fleet.submit(work.submission(cluster="alpha")).result(PATIENCE, checked=False)
    assert result.run.state is RunState.FAILED
    assert "out" in str(result.failures[0].what)


def test_a_queue_that_slurm_refuses_fails_in_its_words(
    fleet: Fleet, slurm: SlurmCluster, make_work: Callable[..., Work]
) -> None:
    work = make_work(COPY)
    handle = fleet.submit(work.submission(cluster="alpha", queue="nonsense"))
    result = handle.result(PATIENCE, checked=False)
    assert result.run.state is RunState.FAILED
    assert "invalid partition specified: nonsense" in result.failures[0].what
    assert "invalid partition specified: nonsense" in fleet.jobferry("status", handle.id).stdout
    assert len(slurm.wrappers.calls("sbatch")) == 1
    good = make_work(COPY, name="good")
    assert fleet.submit(good.submission(cluster="alpha")).result(PATIENCE).ok


def test_a_job_that_waits_is_cancelled(
    fleet: Fleet, slurm: SlurmCluster, make_work: Callable[..., Work]
) -> None:
    work = make_work("sleep 300", "sleep 300")
    submission = work.submission(
        cluster="alpha", resources={"custom_flags": ["#SBATCH --begin=now+1hour"]}
    )
    handle = fleet.submit(submission)
    until(handle, JobState.QUEUED, 2)
    handle.cancel()
    assert handle.wait(PATIENCE).state is RunState.CANCELLED
    assert slurm.queue() == []
    assert work.starts() == [0, 0]


def test_elements_that_somebody_else_cancels_while_they_wait_are_told_soon(
    make_fleet: Callable[..., Fleet], slurm: SlurmCluster, make_work: Callable[..., Work]
) -> None:
    """Slurm keeps no trace of them, but it still has their array."""
    fleet = make_fleet({"retry_count": 0}, timings={"grace_seconds": 10_000})
    work = make_work(*["sleep 300"] * 3)
    resources = {"custom_flags": ["#SBATCH --begin=now+1hour"]}
    submission = work.submission(cluster="alpha", resources=resources, continue_on_failure=True)
    handle = fleet.submit(submission)
    until(handle, JobState.QUEUED, 3)
    [array] = {job.partition("_")[0] for job in slurm.queue()}
    slurm.command("scancel", f"{array}_1")
    until(handle, JobState.FAILED, 1)
    slurm.command("scancel", array)
    result = handle.result(PATIENCE, checked=False)
    assert {failure.outcome for failure in result.failures} == {Outcome.CANCELLED}
    assert work.starts() == [0, 0, 0]


def test_a_job_that_runs_is_cancelled(
    fleet: Fleet, slurm: SlurmCluster, make_work: Callable[..., Work]
) -> None:
    work = make_work("sleep 300", "sleep 300")
    handle = fleet.submit(work.submission(cluster="alpha"))
    until(handle, JobState.RUNNING, 2)
    handle.cancel()
    assert handle.wait(PATIENCE).state is RunState.CANCELLED
    assert slurm.queue() == []
    assert work.starts() == [1, 1]


@pytest.mark.parametrize("requeue", [False, True])
def test_slurm_starts_no_job_again_by_itself_whatever_header_a_user_has(
    make_fleet: Callable[..., Fleet],
    slurm: SlurmCluster,
    make_work: Callable[..., Work],
    tmp_path: Path,
    *,
    requeue: bool,
) -> None:
    fleet = make_fleet({"requeue": requeue})
    template = tmp_path / "header"
    template.write_text("#!/bin/bash\n#SBATCH --ntasks {cpu_per_node}\n")
    strategy = {"customized_script_header_template_file": str(template)}
    work = make_work("sleep 300")
    handle = fleet.submit(work.submission(cluster="alpha", resources={"strategy": strategy}))
    until(handle, JobState.RUNNING, 1)
    [job] = slurm.queue()
    assert f"Requeue={requeue:d} " in slurm.command("scontrol", "-o", "show", "job", job)


def test_a_time_limit_ends_a_job_and_is_told(
    make_fleet: Callable[..., Fleet], slurm: SlurmCluster, make_work: Callable[..., Work]
) -> None:
    fleet = make_fleet({"retry_count": 0})
    work = make_work("sleep 300")
    handle = fleet.submit(work.submission(cluster="alpha"))
    until(handle, JobState.RUNNING, 1)
    # A limit counts minutes; its end can be moved, but not into the past. Slurm looks every 30 s.
    [job] = slurm.queue()
    end = datetime.now().astimezone() + timedelta(seconds=5)
    slurm.command("scontrol", "update", f"JobId={job}", f"EndTime={end:%Y-%m-%dT%H:%M:%S}")
    result = handle.result(PATIENCE, checked=False)
    assert result.run.state is RunState.FAILED
    assert result.failures[0].outcome is Outcome.TIMEOUT
