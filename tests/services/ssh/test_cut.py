"""A Slurm cluster with an address of its own, cut off for a minute, and for longer than its jobs take."""

from __future__ import annotations

import socket
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from jobferry_common.names import ClusterName
from jobferry_common.states import JobState
from tests.testbed.namespaces import FarHost
from tests.testbed.processes import wait_until
from tests.testbed.slurm import SlurmCluster
from tests.testbed.sshd import SshServer
from tests.testbed.work import COPY, PATIENCE, Work, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.testbed.fleet import Fleet

pytestmark = pytest.mark.needs("sshd", "namespaces", "slurm", "valkey")

MINUTE: Final = 60.0


@pytest.fixture
def far() -> Iterator[FarHost]:
    with FarHost() as far:
        yield far


@pytest.fixture
def cluster(far: FarHost) -> Iterator[SlurmCluster]:
    """A cluster behind that address, whose daemons see each other however the link is."""
    directory = Path(tempfile.mkdtemp(prefix="slurm-far-"))
    with SlurmCluster(directory, "far", nodes=1, inside=far.inside) as cluster:
        yield cluster


@pytest.fixture
def server(far: FarHost, cluster: SlurmCluster, tmp_path: Path) -> Iterator[SshServer]:
    """Its login node."""
    env = {"SLURM_CONF": str(cluster.directory / "slurm.conf")}
    with SshServer(tmp_path / "sshd", address=far.address, inside=far.inside, env=env) as server:
        yield server


@pytest.fixture
def fleet(
    fleet_of: Callable[..., Fleet], server: SshServer, known: Path, tmp_path: Path
) -> Iterator[Fleet]:
    """A fleet on that cluster; its worker is the same at the end, though it thinks all commands to be quick."""
    assert known.exists()
    profile = {
        "batch_type": "Slurm",
        "context_type": "SSH",
        "remote_root": str(tmp_path / "remote"),
        "remote_profile": {
            "hostname": server.address,
            "port": server.port,
            "key_filename": str(server.key),
        },
    }
    fleet = fleet_of({"far": profile}, timings={"command_seconds": 4})
    yield fleet
    assert fleet.worker.alive()


@pytest.fixture
def go(tmp_path: Path) -> Path:
    """What the jobs wait for."""
    return tmp_path / "go"


@pytest.fixture
def work(go: Path, tmp_path: Path) -> Work:
    return Work(tmp_path, [f"while ! [ -e {go} ]; do sleep 0.1; done; {COPY}"] * 2)


def cut(far: FarHost, server: SshServer) -> None:
    far.cut()
    with pytest.raises(OSError, match=r"timed out|unreachable|No route"):
        socket.create_connection((server.address, server.port), timeout=1)


def paused(fleet: Fleet) -> str:
    return fleet.client.ledger.cluster(ClusterName("far")).paused


def test_a_link_that_is_cut_for_a_minute(
    fleet: Fleet, server: SshServer, far: FarHost, go: Path, work: Work
) -> None:
    handle = fleet.submit(work.submission(cluster="far"))
    until(handle, JobState.RUNNING, 2)
    end = time.monotonic() + MINUTE
    cut(far, server)
    wait_until(lambda: "stopped answering" in paused(fleet), "it is paused", limit=MINUTE)
    wait_until(lambda: time.monotonic() >= end, "a minute is over", limit=2 * MINUTE)
    assert paused(fleet)
    assert handle.status().counts[JobState.RUNNING] == 2
    far.join()
    wait_until(lambda: not paused(fleet), "it goes on", limit=PATIENCE)
    assert handle.status().counts[JobState.RUNNING] == 2
    go.touch()
    assert handle.result(PATIENCE).ok
    assert work.everything_came_back()
    assert work.starts() == [1, 1]


def test_a_link_that_is_cut_for_longer_than_the_jobs_take(
    fleet: Fleet, server: SshServer, far: FarHost, go: Path, work: Work, tmp_path: Path
) -> None:
    """A defect of DPDispatcher: ssh is lost: the client dies, results are never fetched."""
    handle = fleet.submit(work.submission(cluster="far"))
    until(handle, JobState.RUNNING, 2)
    cut(far, server)
    go.touch()
    wait_until(
        lambda: len([*tmp_path.glob("remote/*/t*/out")]) == 2, "the jobs ended", limit=PATIENCE
    )
    wait_until(lambda: paused(fleet), "it is paused", limit=PATIENCE)
    assert handle.status().counts[JobState.RUNNING] == 2
    far.join()
    assert handle.result(PATIENCE).ok
    assert work.everything_came_back()
    assert work.starts() == [1, 1]
    wait_until(lambda: not paused(fleet), "it goes on", limit=PATIENCE)
