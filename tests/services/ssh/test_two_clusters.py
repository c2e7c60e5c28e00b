"""One submission over two Slurm clusters, each behind an sshd of its own, with a worker for each."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.states import JobState, ResultsState
from tests.testbed.processes import wait_until
from tests.testbed.slurm import SlurmCluster
from tests.testbed.sshd import SshServer
from tests.testbed.work import PATIENCE, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

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
        {name: profile(name, one) for name, one in zip(names, servers, strict=True)}, worker=False
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


def _marks_are_right(base: Path, *, shared: bool) -> bool:
    """Tell whether the common result came back: of each cluster, or the one there is in a root that they share."""
    marks = {path.name: path.read_text().strip() for path in base.glob("mark*")}
    if shared:
        return "mark" in marks and set(marks.values()) <= {"alpha", "beta"}
    names = sorted(marks) in (["mark", "mark.alpha"], ["mark", "mark.beta"])
    return names and set(marks.values()) == {"alpha", "beta"}
