"""One submission over two Slurm clusters, each behind an sshd of its own, with a worker for each."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.names import ClusterName
from jobferry_common.states import JobState, ResultsState
from tests.testbed.processes import wait_until
from tests.testbed.slurm import SlurmCluster
from tests.testbed.sshd import SshServer
from tests.testbed.work import PATIENCE, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from jobferry import Handle
    from tests.testbed.fleet import Fleet

pytestmark = pytest.mark.needs("sshd", "slurm", "valkey")

COMMAND = "cat ../common in >out; echo $SLURM_CLUSTER_NAME >where; echo $SLURM_CLUSTER_NAME >../mark; sleep 0.3"
TASKS = 24


@pytest.fixture(scope="module")
def beta() -> Iterator[SlurmCluster]:
    """A second Slurm cluster."""
    with SlurmCluster.temporary("beta") as cluster:
        yield cluster


@pytest.fixture
def servers(slurm: SlurmCluster, beta: SlurmCluster, tmp_path: Path) -> Iterator[list[SshServer]]:
    """The login nodes of alpha and beta."""
    beta.reset()

    def server(cluster: SlurmCluster) -> SshServer:
        env = {"SLURM_CONF": str(cluster.directory / "slurm.conf")}
        return SshServer(tmp_path / f"sshd-{cluster.name}", env=env)

    with server(slurm) as one, server(beta) as other:
        yield [one, other]


@pytest.fixture(params=["remote of {}", "remote of both"])
def root(request: pytest.FixtureRequest) -> str:
    """The root of a cluster, by its name: each has its own, or they share one on a file system that both see."""
    return str(request.param)


@pytest.fixture
def fleet(
    fleet_of: Callable[..., Fleet],
    servers: list[SshServer],
    home: Path,
    tmp_path: Path,
    root: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Fleet:
    """Two clusters that take few jobs at once, and a worker for each that reaches it by ssh."""
    monkeypatch.chdir(tmp_path)
    ssh = home / ".ssh"
    ssh.mkdir(mode=0o700)
    (ssh / "known_hosts").write_text("".join(one.known_hosts.read_text() for one in servers))

    def profile(name: str, server: SshServer) -> dict[str, Any]:
        login = {
            "hostname": server.address,
            "port": server.port,
            "key_filename": str(server.key),
        }
        return {
            "batch_type": "Slurm",
            "context_type": "SSH",
            "remote_root": str(tmp_path / root.format(name)),
            "commands_per_second": 50.0,
            "max_queued_jobs": 4,
            "remote_profile": login,
        }

    names = ("alpha", "beta")
    fleet = fleet_of(
        {name: profile(name, one) for name, one in zip(names, servers, strict=True)},
        worker=False,
        timings={"claim_seconds": 3},
    )
    for name in names:
        fleet.start_worker_of(name)
    return fleet


@pytest.mark.parametrize("cluster", [["alpha", "beta"], "any"])
def test_every_result_comes_back_from_where_its_job_went(
    fleet: Fleet, servers: list[SshServer], tmp_path: Path, root: str, cluster: Any
) -> None:
    wait_until(lambda: len(fleet.ledger().clusters()) == 2, "both are announced", limit=PATIENCE)
    work = Work(tmp_path, [COMMAND] * TASKS)
    common = os.urandom(300_000)
    (work.base / "common").write_bytes(common)
    inputs = [os.urandom(20_000) for _ in range(TASKS)]
    for number, data in enumerate(inputs):
        (work.base / f"t{number}" / "in").write_bytes(data)
    submission = work.submission(
        cluster=cluster, forward_common_files=["common"], backward_common_files=["mark"]
    )
    for number, task in enumerate(submission.task_list):
        more = {"backward_files": ["out", "where"]}
        submission.task_list[number] = task.model_copy(update=more)
    handle = fleet.submit(submission)
    assert handle.result(PATIENCE).ok

    jobs = [record for _, record in fleet.client.ledger.jobs(handle.id)]
    assert {record.state for record in jobs} == {JobState.FINISHED}
    for number, data in enumerate(inputs):
        assert (work.base / f"t{number}" / "out").read_bytes() == common + data
    said = [(work.base / f"t{number}" / "where").read_text().strip() for number in range(TASKS)]
    assert said == [record.cluster for record in jobs]
    assert min(said.count(name) for name in ("alpha", "beta")) >= 4
    assert work.starts() == [1] * TASKS
    assert _marks_are_right(work.base, shared="{}" not in root)
    assert [server.log().count("Accepted publickey") for server in servers] == [1, 1]

    wait_until(
        lambda: handle.status().results is ResultsState.CLEANED, "both are cleaned", limit=PATIENCE
    )
    assert not list(tmp_path.glob(f"remote of */{handle.id}"))


def test_sshd_of_one_goes_and_the_other_does_what_was_not_submitted_there(
    fleet: Fleet, servers: list[SshServer], beta: SlurmCluster, tmp_path: Path, root: str
) -> None:
    go = tmp_path / "go"
    late = f"while [ $SLURM_CLUSTER_NAME = beta ] && ! [ -e {go} ]; do sleep 0.1; done; {COMMAND}"
    work = Work(tmp_path, [late] * TASKS)
    (work.base / "common").write_text("common\n")
    submission = work.submission(
        cluster=["alpha", "beta"],
        forward_common_files=["common"],
        backward_common_files=["mark"],
    )
    handle = fleet.submit(submission)
    wait_until(lambda: _of_beta(handle)[JobState.RUNNING] >= 2, "beta works", limit=PATIENCE)
    servers[1].crash()

    def paused() -> str:
        return fleet.client.ledger.cluster(ClusterName("beta")).paused

    def rest_is_done() -> bool:
        return handle.status().counts[JobState.FINISHED] + sum(_of_beta(handle).values()) == TASKS

    wait_until(lambda: "Connection refused" in paused(), "beta is paused", limit=PATIENCE)
    wait_until(rest_is_done, "alpha has done the rest", limit=PATIENCE)
    held = _of_beta(handle)
    assert 2 <= sum(held.values()) <= 4
    go.touch()
    wait_until(lambda: not beta.queue(), "the jobs of beta ended", limit=PATIENCE)
    assert _of_beta(handle) == held
    servers[1].start()
    assert handle.result(PATIENCE).ok
    assert work.outputs() == [f"common\ninput {number}\n" for number in range(TASKS)]
    assert work.starts() == [1] * TASKS
    assert _marks_are_right(work.base, shared="{}" not in root)
    assert [server.log().count("Accepted publickey") for server in servers] == [1, 2]
    wait_until(lambda: not paused(), "beta goes on", limit=PATIENCE)


def _of_beta(handle: Handle) -> Counter[JobState]:
    """Return how many jobs beta has in each state, but for those that it has only claimed or that have ended."""
    at = handle.client.ledger.by_cluster(handle.id).get(ClusterName("beta"), {})
    out = (JobState.SUBMITTING, JobState.QUEUED, JobState.RUNNING)
    return Counter({state: at.get(state, 0) for state in out})


def _marks_are_right(base: Path, *, shared: bool) -> bool:
    """Tell whether the common result came back: of each cluster, or the one there is in a root that they share."""
    marks = {path.name: path.read_text().strip() for path in base.glob("mark*")}
    if shared:
        return "mark" in marks and set(marks.values()) <= {"alpha", "beta"}
    names = sorted(marks) in (["mark", "mark.alpha"], ["mark", "mark.beta"])
    return names and set(marks.values()) == {"alpha", "beta"}
