"""Rules for jobs that fail, on a real Slurm.

It has no cgroups here, so a job that had too little memory is told in words that other clusters were seen to use.
"""

from __future__ import annotations

import shlex
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.states import JobState, Outcome, RunState
from tests.services.conftest import clusters_of
from tests.testbed.processes import wait_until
from tests.testbed.slurm import SlurmCluster
from tests.testbed.work import COPY, PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from jobferry import Handle
    from tests.testbed.fleet import Fleet
    from tests.testbed.work import Work

pytestmark = pytest.mark.needs("slurm", "valkey")

#: the first attempt waits for its end; the second one writes what was asked for it
ONCE = "[ -e mark ] || {{ touch mark; exec sleep 300; }}; {} > out"
#: one partition may take the nodes of another
PREEMPTION = "\n".join(
    (
        "PreemptType=preempt/partition_prio",
        "PreemptMode=CANCEL",
        "PartitionName=low Nodes=ALL PriorityTier=1 PreemptMode=CANCEL",
        "PartitionName=high Nodes=ALL PriorityTier=10 PreemptMode=OFF",
    )
)


def asked(field: str) -> str:
    """Return a command that prints what Slurm was asked for its own job."""
    return f'scontrol -o show job "$SLURM_JOB_ID" | grep -o "{field}=[^ ]*"'


def reasons(handle: Handle) -> list[str]:
    """Return what was said of the jobs when they were to be tried again."""
    return [one.reason for one in handle.events() if one.job is not None and one.state == "pending"]


def test_a_job_that_reached_its_time_limit_gets_more(
    fleet: Fleet, slurm: SlurmCluster, make_work: Callable[..., Work]
) -> None:
    work = make_work(ONCE.format(asked("TimeLimit")))
    rules: Any = {"timeout": {"time": 2, "time_most": "2m", "counts": False}}
    submission = work.submission(cluster="alpha", on_failure=rules, resources={"time_limit": "80s"})
    handle = fleet.submit(submission)
    until(handle, JobState.RUNNING, 1)
    [job] = slurm.queue()
    # a limit counts minutes; its end can be moved, but not into the past
    end = datetime.now().astimezone() + timedelta(seconds=5)
    slurm.command("scontrol", "update", f"JobId={job}", f"EndTime={end:%Y-%m-%dT%H:%M:%S}")
    handle.result(PATIENCE)
    assert work.outputs() == ["TimeLimit=00:02:00\n"]
    assert reasons(handle) == ["timeout; again with a time limit of 00:02:00 (does not count)"]


def test_exit_codes_end_a_job_at_once_or_do_not_count(
    make_fleet: Callable[..., Fleet], make_work: Callable[..., Work]
) -> None:
    fleet = make_fleet({"retry_count": 1})
    busy = "echo x >> tries; [ $(wc -l < tries) -gt 3 ] || exit 75; cat in > out"
    work = make_work(busy, "exit 2", "exit 3")
    rules: Any = {"exit_codes": {"2": {"retry": False}, "75": {"counts": False}}}
    submission = work.submission(cluster="alpha", on_failure=rules, continue_on_failure=True)
    handle = fleet.submit(submission)
    result = handle.result(PATIENCE, checked=False)
    assert result.run.state is RunState.FAILED
    assert work.starts() == [4, 1, 2]
    assert work.outputs() == ["input 0\n", None, None]
    ends = {one.job: one.reason for one in handle.events() if one.state == "failed"}
    assert ends[1] == "exit code 2; not to be tried again"
    assert ends[2] == "exit code 3"


def test_a_node_that_broke_is_not_used_again_and_the_try_does_not_count(
    make_fleet: Callable[..., Fleet], slurm: SlurmCluster, make_work: Callable[..., Work]
) -> None:
    fleet = make_fleet({"retry_count": 0})
    work = make_work(ONCE.format(asked("ExcNodeList")))
    rules: Any = {"node_failure": {"counts": False, "exclude_node": True}}
    handle = fleet.submit(work.submission(cluster="alpha", on_failure=rules))
    until(handle, JobState.RUNNING, 1)
    node = slurm.command("squeue", "-h", "-o", "%N").strip()
    # Slurm takes it back as soon as it answers, so that nothing but the rule keeps the job away
    slurm.command("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
    handle.result(PATIENCE)
    assert work.outputs() == [f"ExcNodeList={node}\n"]
    again = f"node failure on {node}; again, not on {node} (does not count)"
    assert reasons(handle) == [again]
    assert again in fleet.jobferry("events", handle.id).stdout


def test_a_job_without_enough_memory_gets_more(
    fleet: Fleet, slurm: SlurmCluster, make_work: Callable[..., Work]
) -> None:
    """The kernel kills a task; what Slurm says of its job is put in, as a cluster with cgroups says it."""
    words = "s/|FAILED|[0-9]*|\\([^|]*\\)|[^|]*|/|OUT_OF_MEMORY|125|\\1|OutOfMemory|/"
    slurm.wrappers.replace("squeue", f'"$REAL" "$@" | sed {shlex.quote(words)}')
    work = make_work(
        f"[ -e mark ] || {{ touch mark; kill -9 $$; }}; {asked('MinMemoryNode')} > out"
    )
    rules: Any = {"out_of_memory": {"memory": 1.5, "memory_most": "100MB"}}
    submission = work.submission(
        cluster="alpha", on_failure=rules, resources={"memory_per_node": "80MB"}
    )
    handle = fleet.submit(submission)
    handle.result(PATIENCE)
    assert work.outputs() == ["MinMemoryNode=100M\n"]
    assert reasons(handle) == ["out of memory; again with 100 MB (try 2 of 4)"]


@pytest.fixture
def preempting(tmp_path: Path) -> Iterator[SlurmCluster]:
    """A Slurm cluster where one partition goes before another."""
    cluster = SlurmCluster(tmp_path / "slurm", "alpha", nodes=1, cpus=2, extra=PREEMPTION)
    with cluster:
        yield cluster


def test_a_job_that_had_to_make_room_is_tried_again_without_a_rule(
    fleet_of: Callable[..., Fleet],
    preempting: SlurmCluster,
    make_work: Callable[..., Work],
    tmp_path: Path,
) -> None:
    clusters = clusters_of(preempting, tmp_path, retry_count=1)
    fleet = fleet_of(clusters, env=preempting.env())
    work = make_work("[ -e mark ] || { touch mark; exec sleep 300; }; cat in > out")
    handle = fleet.submit(work.submission(cluster="alpha", queue="low"))
    until(handle, JobState.RUNNING, 1)
    wait_until(lambda: work.starts() == [1], "the task runs")
    preempting.command("sbatch", "-p", "high", "-n2", "--output=/dev/null", "--wrap", "sleep 1")
    handle.result(PATIENCE)
    assert work.everything_came_back()
    outcomes = [one.outcome for one in handle.events() if one.state == "exited"]
    assert outcomes == [Outcome.PREEMPTED, Outcome.SUCCEEDED]
    assert "(does not count)" in reasons(handle)[0]


def test_rules_stay_out_of_the_way_of_what_succeeds(
    fleet: Fleet, slurm: SlurmCluster, make_work: Callable[..., Work]
) -> None:
    work = make_work(*[COPY] * 6)
    rules: Any = {"timeout": {"time": 2}, "node_failure": {"exclude_node": True}}
    submission = work.submission(cluster="alpha", on_failure=rules, resources={"time_limit": "5m"})
    assert fleet.submit(submission).result(PATIENCE).ok
    assert work.everything_came_back()
    assert len(slurm.wrappers.calls("sbatch")) == 1
