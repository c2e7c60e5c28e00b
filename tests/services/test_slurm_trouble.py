"""What an operator, a site or a broken node does to jobs on a real Slurm: it is seen, said, and lived through."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobferry_common.states import JobState, RunState
from tests.services.conftest import clusters_of
from tests.testbed.processes import wait_until
from tests.testbed.slurm import SlurmCluster
from tests.testbed.work import COPY, PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobferry import Handle
    from tests.testbed.fleet import Fleet
    from tests.testbed.work import Work

pytestmark = pytest.mark.needs("slurm", "valkey")

#: jobs of the partition "urgent" take the place of those of "main"
_PREEMPTION = """\
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=urgent Nodes=ALL PriorityTier=10 State=UP
"""


@pytest.fixture(scope="module")
def preempting() -> Iterator[SlurmCluster]:
    """A Slurm cluster of two CPUs whose partition "urgent" preempts."""
    directory = Path(tempfile.mkdtemp(prefix="slurm-zeta-"))
    with SlurmCluster(directory, "zeta", nodes=1, cpus=2, extra=_PREEMPTION) as cluster:
        yield cluster


def reason_is(fleet: Fleet, handle: Handle, words: str) -> None:
    """Wait until the ledger says this of the run's first job, as `jobferry status` shows it."""

    def told() -> bool:
        return words in fleet.ledger().job(handle.id, 0).reason

    wait_until(told, f"the job's reason is {words}", limit=PATIENCE)
    rows = fleet.jobferry("status", handle.id, "--jobs", "--json").stdout
    assert words in rows


def only_job(slurm: SlurmCluster) -> str:
    """Return the id of the one job in the queue, once it is there."""
    return wait_until(lambda: ids[0] if len(ids := slurm.queue()) == 1 else "", "one job is there")


def test_a_held_job_says_so_until_it_is_released(
    fleet: Fleet, slurm: SlurmCluster, make_work: Callable[..., Work]
) -> None:
    work = make_work(COPY)
    flags = {"custom_flags": ["#SBATCH --hold"]}
    handle = fleet.submit(work.submission(cluster="alpha", resources=flags))
    reason_is(fleet, handle, "JobHeldUser")
    slurm.command("scontrol", "release", only_job(slurm))
    assert handle.result(PATIENCE).ok
    assert fleet.ledger().job(handle.id, 0).reason == ""
    assert work.starts() == [1]


def test_jobs_wait_for_the_end_of_a_maintenance(
    fleet: Fleet, slurm: SlurmCluster, make_work: Callable[..., Work]
) -> None:
    care = ("starttime=now", "duration=60", "flags=maint,ignore_jobs", "nodes=ALL", "users=daemon")
    slurm.command("scontrol", "create", "reservation", "reservationname=care", *care)
    try:
        work = make_work(COPY)
        handle = fleet.submit(work.submission(cluster="alpha"))
        reason_is(fleet, handle, "Reserved for maintenance")
    finally:
        slurm.command("scontrol", "delete", "reservationname=care")
    assert handle.result(PATIENCE).ok
    assert work.starts() == [1]


@pytest.mark.parametrize(
    ("state", "words"), [("DOWN", "PartitionDown"), ("INACTIVE", "not available")]
)
def test_work_waits_for_a_partition_that_is_closed(
    fleet: Fleet, slurm: SlurmCluster, make_work: Callable[..., Work], state: str, words: str
) -> None:
    """Into one that is down jobs may be put; one that is inactive turns them away."""
    slurm.command("scontrol", "update", "partitionname=main", f"state={state}")
    try:
        work = make_work(COPY)
        handle = fleet.submit(work.submission(cluster="alpha"))
        reason_is(fleet, handle, words)
    finally:
        slurm.command("scontrol", "update", "partitionname=main", "state=UP")
    assert handle.result(PATIENCE).ok
    assert work.starts() == [1]


def test_a_job_that_an_operator_requeues_starts_again_as_the_same_attempt(
    make_fleet: Callable[..., Fleet],
    slurm: SlurmCluster,
    make_work: Callable[..., Work],
    tmp_path: Path,
) -> None:
    fleet = make_fleet({"requeue": True})
    go = tmp_path / "go"
    work = make_work(f"while [ ! -e {go} ]; do sleep 0.2; done; {COPY}")
    handle = fleet.submit(work.submission(cluster="alpha"))
    until(handle, JobState.RUNNING, 1)
    job = only_job(slurm)
    slurm.command("scontrol", "requeue", job)
    until(handle, JobState.QUEUED, 1)
    go.touch()
    start_now(slurm, job)
    assert handle.result(PATIENCE).ok
    record = fleet.ledger().job(handle.id, 0)
    assert (record.attempt, work.starts()) == (1, [2])


def test_the_job_of_a_broken_node_is_tried_again(
    fleet: Fleet, slurm: SlurmCluster, make_work: Callable[..., Work]
) -> None:
    work = make_work(f"sleep 5; {COPY}")
    handle = fleet.submit(work.submission(cluster="alpha"))
    until(handle, JobState.RUNNING, 1)
    node = slurm.command("squeue", "-h", "-o", "%N").strip()
    slurm.command("scontrol", "update", f"nodename={node}", "state=down", "reason=broken")
    assert handle.result(PATIENCE).ok
    assert fleet.ledger().job(handle.id, 0).attempt == 2
    assert work.starts() == [2]
    idle = ("sinfo", "-h", "-n", node, "-t", "idle", "-o", "%D")
    wait_until(lambda: slurm.command(*idle).strip() == "1", "the node is back", limit=PATIENCE)


@pytest.mark.parametrize(("requeue", "attempt"), [(False, 2), (True, 1)])
def test_a_job_that_makes_way_for_another_runs_later(
    fleet_of: Callable[..., Fleet],
    preempting: SlurmCluster,
    make_work: Callable[..., Work],
    tmp_path: Path,
    *,
    requeue: bool,
    attempt: int,
) -> None:
    """As another attempt, or, where the profile lets Slurm requeue, as the same."""
    preempting.reset()
    fleet = fleet_of(clusters_of(preempting, tmp_path, requeue=requeue), env=preempting.env())
    go = tmp_path / "go"
    work = make_work(f"while [ ! -e {go} ]; do sleep 0.2; done; {COPY}")
    handle = fleet.submit(work.submission(cluster="zeta", resources={"cpu_per_node": 2}))
    until(handle, JobState.RUNNING, 1)
    job = only_job(preempting)
    preempting.command("sbatch", "-p", "urgent", "-n", "2", "-o", "/dev/null", "--wrap", "sleep 3")
    wait_until(lambda: state_of(preempting, job) != "RUNNING", "it made way", limit=PATIENCE)
    go.touch()
    if requeue:
        start_now(preempting, job)
    assert handle.result(PATIENCE).ok
    assert fleet.ledger().job(handle.id, 0).attempt == attempt
    assert work.starts() == [2]


def state_of(slurm: SlurmCluster, job: str) -> str:
    """Return the state of a job in the queue, in Slurm's word."""
    return slurm.command("squeue", "-h", "-t", "all", "-j", job, "-o", "%T").strip()


def start_now(slurm: SlurmCluster, job: str) -> None:
    """Spare a requeued job the two minutes that Slurm lets it wait."""
    wait_until(lambda: state_of(slurm, job) == "PENDING", "it waits again", limit=PATIENCE)
    slurm.command("scontrol", "update", f"JobId={job}", "StartTime=now")


def test_jobs_that_an_operator_deletes_are_told_as_cancelled(
    make_fleet: Callable[..., Fleet], slurm: SlurmCluster, make_work: Callable[..., Work]
) -> None:
    fleet = make_fleet({"retry_count": 0})
    work = make_work("sleep 300")
    handle = fleet.submit(work.submission(cluster="alpha"))
    until(handle, JobState.RUNNING, 1)
    slurm.command("scancel", only_job(slurm))
    assert handle.wait(PATIENCE).state is RunState.FAILED
    assert "CANCELLED" in fleet.ledger().job(handle.id, 0).reason


@pytest.mark.parametrize(
    "words",
    [
        "Slurm temporarily unable to accept job, sleeping and retrying",
        "Batch job submission failed: Job violates accounting/QOS policy (job submit limit, "
        "user's size and/or time limits)",
        "Batch job submission failed: Unable to contact slurm controller (connect failure)",
    ],
)
def test_a_slurm_that_takes_nothing_now_is_asked_again_and_says_why(
    fleet: Fleet, slurm: SlurmCluster, make_work: Callable[..., Work], words: str
) -> None:
    slurm.wrappers.replace("sbatch", f'echo "sbatch: error: {words}" >&2; exit 1')
    work = make_work(COPY, COPY)
    handle = fleet.submit(work.submission(cluster="alpha"))
    reason_is(fleet, handle, words.removeprefix("Batch job submission failed: ")[:40])
    slurm.wrappers.restore("sbatch")
    assert handle.result(PATIENCE).ok
    assert work.starts() == [1, 1]


def test_a_job_that_was_accepted_without_an_answer_is_adopted(
    make_fleet: Callable[..., Fleet], slurm: SlurmCluster, make_work: Callable[..., Work]
) -> None:
    fleet = make_fleet(timings={"command_seconds": 3})
    lost = "Batch job submission failed: Socket timed out on send/recv operation"
    slurm.wrappers.replace("sbatch", f'"$REAL" "$@" >&2; echo "sbatch: error: {lost}" >&2; exit 1')
    work = make_work("sleep 20; cat in > out", "sleep 20; cat in > out")
    handle = fleet.submit(work.submission(cluster="alpha"))
    until(handle, JobState.RUNNING, 2)
    assert len(slurm.wrappers.calls("sbatch")) == 1
    assert handle.result(PATIENCE).ok
    assert work.starts() == [1, 1]
    assert fleet.ledger().cluster("alpha").adopted == 2
