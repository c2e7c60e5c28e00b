"""Crashes and outages around a real Slurm: nothing is lost, nothing runs twice."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from jobferry.handle import Handle
from jobferry_common.errors import BrokerUnreachable
from jobferry_common.killpoints import RECOVER, SHARED
from jobferry_common.states import JobState, RunState
from jobferry_worker.reconcile.killpoints import POINTS
from tests.services.conftest import clusters_of
from tests.testbed.processes import wait_until
from tests.testbed.work import COPY, PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.testbed.fleet import Fleet
    from tests.testbed.slurm import SlurmCluster
    from tests.testbed.work import Work

pytestmark = pytest.mark.needs("slurm", "valkey")

#: points that ordinary work does not pass: only what was lost, and what clusters share (see test_many_clusters.py)
RARE = ("after-forget", "after-claims", *SHARED, *RECOVER)
ORDINARY = [point for point in POINTS if "cancel" not in point and point not in RARE]


@pytest.mark.parametrize("point", ORDINARY)
def test_a_worker_that_is_killed_leaves_nothing_behind(
    point: str, make_fleet: Callable[..., Fleet], make_work: Callable[..., Work]
) -> None:
    """A defect of DPDispatcher: killed after 4 of 6 submits, those 4 start twice."""
    fleet = make_fleet(worker=False)
    doomed = fleet.start_worker(JOBFERRY_KILL_AT=point)
    work = make_work(*[COPY] * 6)
    handle = fleet.submit(work.submission(cluster="alpha"))
    assert doomed.wait(PATIENCE) == -9
    fleet.start_worker()
    assert handle.result(PATIENCE).ok
    assert work.starts() == [1] * 6
    assert work.everything_came_back()


@pytest.mark.parametrize("point", ["after-cancel", "after-pending-cancelled"])
def test_a_worker_that_is_killed_while_it_cancels_leaves_nothing_behind(
    point: str,
    make_fleet: Callable[..., Fleet],
    slurm: SlurmCluster,
    make_work: Callable[..., Work],
) -> None:
    fleet = make_fleet({"max_queued_jobs": 2}, worker=False)
    doomed = fleet.start_worker(JOBFERRY_KILL_AT=point)
    work = make_work(*["sleep 300"] * 4)
    handle = fleet.submit(work.submission(cluster="alpha"))
    until(handle, JobState.RUNNING, 2)
    handle.cancel()
    assert doomed.wait(PATIENCE) == -9
    fleet.start_worker()
    assert handle.wait(PATIENCE).state is RunState.CANCELLED
    assert slurm.queue() == []
    assert sum(work.starts()) == 2


def test_a_worker_that_is_killed_with_a_claim_in_its_hand_leaves_nothing_behind(
    make_fleet: Callable[..., Fleet], slurm: SlurmCluster, make_work: Callable[..., Work]
) -> None:
    """A submit that never arrives: the worker claims the attempts itself, and is killed."""
    fleet = make_fleet(timings={"command_seconds": 2}, worker=False)
    doomed = fleet.start_worker(JOBFERRY_KILL_AT="after-claims")
    slurm.wrappers.replace("sbatch", "exec sleep 60")
    work = make_work(COPY, COPY)
    handle = fleet.submit(work.submission(cluster="alpha"))
    assert doomed.wait(PATIENCE) == -9
    slurm.wrappers.restore("sbatch")
    fleet.start_worker()
    assert handle.result(PATIENCE).ok
    assert work.starts() == [1, 1]
    assert {record.attempt for _, record in fleet.ledger().jobs(handle.id)} == {2}


def test_a_worker_that_is_killed_after_it_read_back_leaves_nothing_behind(
    fleet_of: Callable[..., Fleet],
    slurm: SlurmCluster,
    make_work: Callable[..., Work],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first time it has nothing to read back; the second time the broker was restarted under jobs."""
    monkeypatch.chdir(tmp_path)
    alpha = clusters_of(slurm, tmp_path, max_queued_jobs=2)["alpha"]
    fleet = fleet_of({"alpha": alpha}, env=slurm.env(), worker=False)
    doomed = fleet.start_worker(JOBFERRY_KILL_AT="after-readback:2")
    work = make_work(*["sleep 4; cat in > out"] * 4)
    handle = fleet.submit(work.submission(cluster="alpha"))
    until(handle, JobState.RUNNING, 2)
    fleet.broker.kill()
    fleet.broker.start()
    assert doomed.wait(PATIENCE) == -9
    fleet.start_worker()
    assert handle.result(PATIENCE).ok
    assert work.starts() == [1] * 4
    assert work.everything_came_back()


def test_a_cluster_that_hangs_does_not_stop_another(
    fleet_of: Callable[..., Fleet],
    slurm: SlurmCluster,
    make_work: Callable[..., Work],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    place = {"context_type": "LazyLocal", "local_root": str(tmp_path)}
    clusters = {
        "alpha": {"batch_type": "Slurm", **place},
        "shell": {"batch_type": "Shell", **place},
    }
    fleet = fleet_of(clusters, env=slurm.env())
    waiting = make_work("sleep 3; cat in > out", name="waiting")
    first = fleet.submit(waiting.submission(cluster="alpha"))
    until(first, JobState.RUNNING, 1)
    slurm.pause()
    work = make_work(*[COPY] * 3)
    assert fleet.submit(work.submission(cluster="shell")).result(PATIENCE).ok
    slurm.resume()
    assert first.result(PATIENCE).ok


def test_jobs_run_on_while_the_worker_is_away(
    fleet: Fleet, slurm: SlurmCluster, make_work: Callable[..., Work]
) -> None:
    work = make_work(*["sleep 2; cat in > out"] * 4)
    handle = fleet.submit(work.submission(cluster="alpha"))
    until(handle, JobState.RUNNING, 4)
    fleet.worker.kill()
    wait_until(lambda: not slurm.queue(), "Slurm is done")
    fleet.start_worker()
    assert handle.result(PATIENCE).ok
    assert work.starts() == [1] * 4


def test_a_submit_that_hangs_is_not_repeated(
    make_fleet: Callable[..., Fleet], slurm: SlurmCluster, make_work: Callable[..., Work]
) -> None:
    """Sbatch waits inside itself while the queue answers that there is no job; then the job appears."""
    fleet = make_fleet(timings={"command_seconds": 3})
    # setsid: the time limit on the command ends the command, not what the controller will do later.
    late = 'setsid bash -c \'sleep 12; exec "$REAL" "$@"\' late "$@" >/dev/null 2>&1 & sleep 60'
    slurm.wrappers.replace("sbatch", late)
    work = make_work(COPY, COPY)
    handle = fleet.submit(work.submission(cluster="alpha"))
    wait_until(lambda: slurm.wrappers.calls("sbatch"), "it was submitted")
    slurm.wrappers.restore("sbatch")
    assert handle.result(PATIENCE).ok
    wait_until(lambda: not slurm.queue(), "no second job waits")
    assert work.starts() == [1, 1]
    assert work.everything_came_back()


def test_a_scheduler_that_does_not_answer_changes_nothing(
    make_fleet: Callable[..., Fleet], slurm: SlurmCluster, make_work: Callable[..., Work]
) -> None:
    fleet = make_fleet(timings={"command_seconds": 2, "grace_seconds": 2})
    work = make_work(*["sleep 6; cat in > out"] * 3)
    handle = fleet.submit(work.submission(cluster="alpha"))
    until(handle, JobState.RUNNING, 3)
    slurm.pause()
    before = _asked(slurm)
    wait_until(lambda: _asked(slurm) > before + 1, "it was asked in vain")
    slurm.resume()
    assert handle.result(PATIENCE).ok
    assert work.starts() == [1] * 3


def _asked(slurm: SlurmCluster) -> int:
    return sum(len(slurm.wrappers.calls(command)) for command in ("squeue", "scontrol"))


def test_an_answer_of_another_cluster_loses_nothing(
    make_fleet: Callable[..., Fleet], slurm: SlurmCluster, make_work: Callable[..., Work]
) -> None:
    """As with a changed SLURM_CONF: the queue is empty, but it is the queue of somebody else."""
    fleet = make_fleet(timings={"grace_seconds": 1})
    work = make_work(*["sleep 8; cat in > out"] * 3)
    handle = fleet.submit(work.submission(cluster="alpha"))
    until(handle, JobState.RUNNING, 3)
    other = '"$REAL" "$@" | sed "s/^ClusterName .*/ClusterName = other/"'
    slurm.wrappers.replace("scontrol", other)
    slurm.wrappers.replace("squeue", "exit 0")
    before = _asked(slurm)
    wait_until(lambda: _asked(slurm) > before + 2, "it was asked for its jobs, then for its name")
    slurm.wrappers.restore("squeue")
    slurm.wrappers.restore("scontrol")
    assert handle.result(PATIENCE).ok
    assert work.starts() == [1] * 3


def test_a_queue_that_is_wrongly_empty_loses_nothing(
    make_fleet: Callable[..., Fleet], slurm: SlurmCluster, make_work: Callable[..., Work]
) -> None:
    """As behind a site's own squeue: for longer than the grace no job is listed, but the controller has them all."""
    fleet = make_fleet(timings={"grace_seconds": 1})
    work = make_work("sleep 12; cat in > out", "sleep 12; cat in > out")
    handle = fleet.submit(work.submission(cluster="alpha"))
    until(handle, JobState.RUNNING, 2)
    slurm.wrappers.replace("squeue", "exit 0")
    wait_until(lambda: len(_inquiries(slurm)) > 1, "it was asked about them by name")
    slurm.wrappers.restore("squeue")
    assert handle.result(PATIENCE).ok
    assert work.starts() == [1] * 2


def _inquiries(slurm: SlurmCluster) -> list[tuple[str, ...]]:
    return [call for call in slurm.wrappers.calls("scontrol") if "--oneliner" in call]


def test_waiting_goes_on_when_the_broker_comes_back(
    fleet: Fleet, make_work: Callable[..., Work]
) -> None:
    work = make_work(*["sleep 3; cat in > out"] * 3)
    handle = fleet.submit(work.submission(cluster="alpha"))
    until(handle, JobState.RUNNING, 3)
    fleet.broker.kill()
    fleet.broker.start()
    assert handle.result(PATIENCE).ok
    assert work.starts() == [1] * 3
    assert work.everything_came_back()


def test_a_submission_without_broker_is_refused_and_can_be_repeated(
    fleet: Fleet, make_work: Callable[..., Work]
) -> None:
    work = make_work(COPY)
    submission = work.submission(cluster="alpha")
    fleet.broker.stop()
    with pytest.raises(BrokerUnreachable):
        fleet.submit(submission)
    done = fleet.jobferry("status")
    assert done.returncode == 3, done
    assert "Traceback" not in done.stderr
    fleet.broker.start()
    assert fleet.submit(submission).result(PATIENCE).ok
    assert work.starts() == [1]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    directory = tmp_path / "remote"
    directory.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(directory)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here: a full disk cannot be tested")
    yield directory
    subprocess.run(["umount", "-l", str(directory)], check=True)


def test_a_full_disk_is_told_and_waited_for(
    make_fleet: Callable[..., Fleet], small_disk: Path, make_work: Callable[..., Work]
) -> None:
    ballast = small_disk / "ballast"
    with ballast.open("wb") as file:
        file.write(b"x" * 1000 * 1000)
    fleet = make_fleet()
    work = make_work(COPY)
    (work.base / "t0/in").write_text("x" * 100_000)
    handle = fleet.submit(work.submission(cluster="alpha"))
    ledger = fleet.ledger()
    wait_until(lambda: "space" in _told(fleet, handle), "the full disk is told")
    assert handle.status().state in (RunState.ACCEPTED, RunState.ACTIVE)
    ballast.unlink()
    assert handle.result(PATIENCE).ok
    assert ledger.run(handle.id).state is RunState.FINISHED
    assert (work.base / "t0/out").read_text() == "x" * 100_000
    assert shutil.disk_usage(small_disk).free > 500_000


def _told(fleet: Fleet, handle: Handle) -> str:
    cluster = fleet.jobferry("cluster", "list").stdout
    return f"{cluster} {handle.status().reason} {fleet.jobferry('status', handle.id).stdout}"
