"""One submission, several clusters: each has a worker process of its own, and all share one broker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.names import ClusterName
from jobferry_common.states import JobState, RunState
from tests.testbed.processes import wait_until
from tests.testbed.slurm import SlurmCluster
from tests.testbed.work import COPY, PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from jobferry import Handle
    from tests.testbed.fleet import Fleet
    from tests.testbed.work import Work

pytestmark = pytest.mark.needs("valkey")

BOTH = [ClusterName("alpha"), ClusterName("beta")]
SHORT = f"sleep 0.3; {COPY}"


@pytest.fixture(scope="module")
def beta() -> Iterator[SlurmCluster]:
    """A second Slurm cluster."""
    with SlurmCluster.temporary("beta") as cluster:
        yield cluster


def profile(directory: Path, name: str, **fields: Any) -> dict[str, Any]:
    root = directory / f"root of {name}"
    root.mkdir()
    return {"batch_type": "Slurm", "context_type": "Local", "remote_root": str(root), **fields}


@pytest.fixture
def idle_shells(
    fleet_of: Callable[..., Fleet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Fleet:
    """Two clusters that are plain shells with two slots each, and nobody who serves them yet."""
    monkeypatch.chdir(tmp_path)
    shell = {"batch_type": "Shell", "max_running_jobs": 2}
    clusters = {name: profile(tmp_path, name, **shell) for name in BOTH}
    return fleet_of(clusters, worker=False, timings={"claim_seconds": 5})


@pytest.fixture
def shells(idle_shells: Fleet) -> Fleet:
    """Two clusters that are plain shells with two slots each, and a worker for each."""
    for name in BOTH:
        idle_shells.start_worker_of(name)
    return idle_shells


@pytest.fixture
def slurms(
    fleet_of: Callable[..., Fleet],
    slurm: SlurmCluster,
    beta: SlurmCluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Fleet:
    """Two Slurm clusters with little room, and a worker for each."""
    monkeypatch.chdir(tmp_path)
    beta.reset()
    limits = {"commands_per_second": 50.0, "max_queued_jobs": 6}
    clusters = {name: profile(tmp_path, name, **limits) for name in BOTH}
    fleet = fleet_of(clusters, worker=False, timings={"claim_seconds": 6, "command_seconds": 8})
    fleet.start_worker_of("alpha", slurm.env())
    fleet.start_worker_of("beta", beta.env())
    return fleet


def ran_at(fleet: Fleet, handle: Handle) -> dict[str, int]:
    """Return how many jobs each cluster finished."""
    found = fleet.client.ledger.by_cluster(handle.id)
    return {str(name): states.get(JobState.FINISHED, 0) for name, states in found.items()}


def finished(handle: Handle, least: int) -> None:
    wait_until(
        lambda: handle.status().counts[JobState.FINISHED] >= least,
        f"{least} jobs are finished",
        limit=PATIENCE,
    )


def test_two_shells_share_the_work(shells: Fleet, make_work: Callable[..., Work]) -> None:
    work = make_work(*[SHORT] * 24)
    handle = shells.submit(work.submission(cluster=BOTH))
    assert handle.result(PATIENCE).run.state is RunState.FINISHED
    assert work.everything_came_back()
    assert work.starts() == [1] * 24
    found = ran_at(shells, handle)
    assert sum(found.values()) == 24
    assert min(found.values()) >= 4


def test_files_go_only_where_their_jobs_go_and_all_are_cleaned(
    shells: Fleet, make_work: Callable[..., Work], tmp_path: Path
) -> None:
    work = make_work(*[SHORT] * 12)
    (work.base / "common").write_text("common\n")
    submission = work.submission(
        cluster=BOTH, forward_common_files=["common"], backward_common_files=["made.*"], clean=False
    )
    for number, task in enumerate(submission.task_list):
        made = f"cat ../common >../made.{number}; {task.command}"
        submission.task_list[number] = task.model_copy(update={"command": made})
    handle = shells.submit(submission)
    handle.result(PATIENCE)
    assert all((work.base / f"made.{number}").exists() for number in range(12))
    for name in BOTH:
        base = tmp_path / f"root of {name}" / handle.id
        jobs = [job for job, one in shells.client.ledger.jobs(handle.id) if one.cluster == name]
        assert {int(path.name[1:]) for path in base.glob("t*")} == {*jobs}
        assert (base / "common").exists()
    handle.clean()
    assert not list(tmp_path.glob(f"root of */{handle.id}"))


def test_common_results_of_both_come_back_and_none_is_lost(
    shells: Fleet, make_work: Callable[..., Work]
) -> None:
    said = "case $PWD in *alpha*) echo alpha;; *) echo beta;; esac"
    once = f"{said} >>../log; echo same >../same; case $PWD in *beta*) echo 1 >../only;; esac"
    work = make_work(*[f"{once}; {SHORT}"] * 12)
    names = ["log", "same", "only"]
    handle = shells.submit(work.submission(cluster=BOTH, backward_common_files=names))
    result = handle.result(PATIENCE)
    assert result.ok
    assert (work.base / "same").read_text() == "same\n"
    assert (work.base / "only").read_text() == "1\n"
    logs = sorted(work.base.glob("log*"))
    assert len(logs) == 2
    assert logs[0].name == "log"
    assert (
        "".join(path.read_text() for path in logs).split().count("alpha")
        == (ran_at(shells, handle)["alpha"])
    )
    assert logs[1].read_text().split()[0] == logs[1].suffix.removeprefix(".")
    record = handle.status()
    assert f"{logs[1].name} that of {logs[1].suffix.removeprefix('.')}" in record.reason
    assert handle.client.ledger.lack(handle.id) == ""


def test_any_is_every_cluster_that_was_announced_and_fits(
    shells: Fleet, make_work: Callable[..., Work]
) -> None:
    wait_until(lambda: len(shells.ledger().clusters()) == 2, "both are announced")
    work = make_work(*[SHORT] * 10)
    handle = shells.submit(work.submission(cluster="any"))
    assert handle.status().clusters == ("alpha", "beta")
    assert handle.result(PATIENCE).ok
    assert work.starts() == [1] * 10


def test_what_a_worker_claimed_before_it_was_killed_is_done_by_the_other(
    idle_shells: Fleet, make_work: Callable[..., Work]
) -> None:
    doomed = idle_shells.start_worker_of("alpha", {"JOBFERRY_KILL_AT": "after-claimed"})
    work = make_work(*[SHORT] * 8)
    handle = idle_shells.submit(work.submission(cluster=BOTH))
    assert doomed.wait(PATIENCE) == -9
    assert idle_shells.client.ledger.with_claims(BOTH[0]) == [handle.id]
    idle_shells.start_worker_of("beta")
    assert handle.result(PATIENCE).ok
    assert work.starts() == [1] * 8
    assert ran_at(idle_shells, handle) == {"beta": 8}


def test_work_is_cancelled_at_both(shells: Fleet, make_work: Callable[..., Work]) -> None:
    work = make_work(*["sleep 300"] * 12)
    handle = shells.submit(work.submission(cluster=BOTH))
    ledger = shells.client.ledger
    wait_until(lambda: len(ledger.flight(BOTH[0])) and len(ledger.flight(BOTH[1])), "both work")
    handle.cancel()
    assert handle.wait(PATIENCE).state is RunState.CANCELLED
    assert ledger.flight(BOTH[0]) == ledger.flight(BOTH[1]) == []


@pytest.mark.needs("slurm")
def test_two_slurm_clusters_share_the_work(
    slurms: Fleet, slurm: SlurmCluster, beta: SlurmCluster, make_work: Callable[..., Work]
) -> None:
    work = make_work(*[SHORT] * 40)
    handle = slurms.submit(work.submission(cluster=BOTH))
    assert handle.result(PATIENCE).run.state is RunState.FINISHED
    assert work.everything_came_back()
    assert work.starts() == [1] * 40
    assert min(ran_at(slurms, handle).values()) >= 8
    assert slurm.wrappers.calls("sbatch")
    assert beta.wrappers.calls("sbatch")


@pytest.mark.needs("slurm")
def test_a_partition_that_only_one_slurm_has_takes_all_of_the_work(
    slurms: Fleet, beta: SlurmCluster, make_work: Callable[..., Work]
) -> None:
    beta.command("scontrol", "create", "PartitionName=special", "Nodes=ALL", "State=UP")
    work = make_work(*[SHORT] * 12)
    handle = slurms.submit(work.submission(cluster=BOTH, queue="special"))
    assert handle.result(PATIENCE).run.state is RunState.FINISHED
    assert work.starts() == [1] * 12
    assert ran_at(slurms, handle) == {"beta": 12}
    refused = slurms.client.ledger.refused(handle.id)
    assert list(refused) == ["alpha"]
    assert "invalid partition" in refused[BOTH[0]]
    beta.command("scontrol", "delete", "PartitionName=special")


@pytest.mark.needs("slurm")
def test_a_partition_that_neither_slurm_has_fails_the_jobs_with_the_words_of_both(
    slurms: Fleet, make_work: Callable[..., Work]
) -> None:
    work = make_work(*[SHORT] * 3)
    handle = slurms.submit(work.submission(cluster=BOTH, queue="nowhere"))
    assert handle.wait(PATIENCE).state is RunState.FAILED
    for _, record in slurms.client.ledger.jobs(handle.id):
        assert record.state is JobState.FAILED
        assert "alpha: Slurm refuses the job" in record.reason
        assert "beta: Slurm refuses the job" in record.reason


@pytest.mark.needs("slurm")
def test_while_one_slurm_is_silent_the_other_does_what_it_did_not_submit(
    slurms: Fleet, slurm: SlurmCluster, make_work: Callable[..., Work]
) -> None:
    work = make_work(*[SHORT] * 60)
    handle = slurms.submit(work.submission(cluster=BOTH))
    ledger = slurms.client.ledger
    finished(handle, 10)
    slurm.pause()
    try:
        # what alpha's scheduler may have stays there; all else ends
        def rest_is_done() -> bool:
            out = len(ledger.flight(BOTH[0]))
            return handle.status().counts[JobState.FINISHED] >= 60 - out

        wait_until(rest_is_done, "the other does the rest", limit=PATIENCE)
        assert ledger.with_claims(BOTH[0]) == []
    finally:
        slurm.resume()
    assert handle.result(PATIENCE).run.state is RunState.FINISHED
    assert work.starts() == [1] * 60
    assert work.everything_came_back()


@pytest.mark.needs("slurm")
def test_a_slurm_that_was_given_up_ends_its_jobs_and_is_cleaned_once_it_is_back(
    slurms: Fleet, slurm: SlurmCluster, make_work: Callable[..., Work], tmp_path: Path
) -> None:
    work = make_work(*[f"case $PWD in *alpha*) sleep 600;; esac; {COPY}"] * 8)
    handle = slurms.submit(work.submission(cluster=BOTH))
    wait_until(slurm.queue, "alpha's Slurm has jobs", limit=PATIENCE)
    finished(handle, 1)
    slurm.pause()
    try:
        assert handle.abandon("alpha")
        assert handle.result(PATIENCE).ok
    finally:
        slurm.resume()
    assert work.everything_came_back()
    wait_until(lambda: not slurm.queue(), "alpha's jobs are ended", limit=PATIENCE)
    left = tmp_path / "root of alpha" / handle.id
    wait_until(lambda: not left.exists(), "its directory is removed", limit=PATIENCE)


@pytest.mark.needs("slurm")
def test_a_worker_that_is_killed_holds_up_only_what_it_submitted(
    slurms: Fleet, slurm: SlurmCluster, make_work: Callable[..., Work]
) -> None:
    work = make_work(*[SHORT] * 60)
    handle = slurms.submit(work.submission(cluster=BOTH))
    ledger = slurms.client.ledger
    finished(handle, 10)
    slurms.processes["worker of alpha"].kill()
    wait_until(
        lambda: handle.status().counts[JobState.FINISHED] >= 60 - len(ledger.flight(BOTH[0])),
        "the other does the rest",
        limit=PATIENCE,
    )
    slurms.start_worker_of("alpha", slurm.env())
    assert handle.result(PATIENCE).run.state is RunState.FINISHED
    assert work.starts() == [1] * 60
    assert work.everything_came_back()
