"""Slurm with accounting: history, and the limits that it enforces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobferry_common.states import JobState, Outcome, RunState
from tests.services.conftest import clusters_of
from tests.testbed.processes import wait_until
from tests.testbed.work import COPY, PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.testbed.fleet import Fleet
    from tests.testbed.slurm import SlurmCluster
    from tests.testbed.work import Work

pytestmark = pytest.mark.needs("slurmdbd", "valkey")


@pytest.fixture
def fleet(
    fleet_of: Callable[..., Fleet],
    slurm_with_accounting: SlurmCluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Fleet:
    """A fleet on the Slurm cluster gamma, which keeps accounts."""
    monkeypatch.chdir(tmp_path)
    clusters = clusters_of(slurm_with_accounting, tmp_path, retry_count=0)
    return fleet_of(clusters, env=slurm_with_accounting.env())


def test_work_goes_there_and_comes_back(fleet: Fleet, make_work: Callable[..., Work]) -> None:
    work = make_work(*[COPY] * 8, "exit 7")
    submission = work.submission(cluster="gamma", continue_on_failure=True)
    result = fleet.submit(submission).result(PATIENCE, checked=False)
    assert [failure.code for failure in result.failures] == [7]
    assert work.starts() == [1] * 9
    assert work.outputs()[:8] == [f"input {number}\n" for number in range(8)]


def test_the_history_tells_what_became_of_a_killed_job(
    fleet: Fleet, slurm_with_accounting: SlurmCluster, make_work: Callable[..., Work]
) -> None:
    """The script is killed before it can write a record: only the scheduler knows."""
    work = make_work("sleep 300")
    handle = fleet.submit(work.submission(cluster="gamma"))
    until(handle, JobState.RUNNING, 1)
    [job] = slurm_with_accounting.queue()
    slurm_with_accounting.command("scancel", "--full", "--signal=KILL", job)
    result = handle.result(PATIENCE, checked=False)
    assert result.run.state is RunState.FAILED
    assert result.failures[0].outcome in (Outcome.FAILED, Outcome.CANCELLED)


def test_jobs_beyond_a_limit_of_slurm_wait_and_are_topped_up(
    fleet: Fleet, slurm_with_accounting: SlurmCluster, make_work: Callable[..., Work]
) -> None:
    slurm = slurm_with_accounting
    slurm.command("sacctmgr", "-i", "add", "qos", "three", "set", "MaxSubmitJobsPerUser=3")
    slurm.command("sacctmgr", "-i", "modify", "user", "root", "set", "qos+=three")
    wait_until(
        lambda: "three" in slurm.command("sacctmgr", "-nP", "list", "qos", "format=name"), "QOS"
    )
    work = make_work(*["sleep 0.5; cat in > out"] * 10)
    flags = {"custom_flags": ["#SBATCH --qos=three"]}
    handle = fleet.submit(work.submission(cluster="gamma", resources=flags))
    most = 0

    def done() -> bool:
        nonlocal most
        most = max(most, len(slurm.queue()))
        return handle.status().state.is_final

    wait_until(done, "the run ended", limit=PATIENCE)
    assert handle.result(PATIENCE).ok
    assert most <= 3
    assert work.starts() == [1] * 10
