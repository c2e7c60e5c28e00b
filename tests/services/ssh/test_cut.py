"""A cluster with an address of its own, cut off for longer than its jobs take."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from jobferry_common.states import JobState
from tests.testbed.namespaces import FarHost
from tests.testbed.processes import wait_until
from tests.testbed.sshd import SshServer
from tests.testbed.work import COPY, PATIENCE, Work, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.testbed.fleet import Fleet

pytestmark = pytest.mark.needs("sshd", "namespaces", "valkey")


@pytest.fixture
def far() -> Iterator[FarHost]:
    with FarHost() as far:
        yield far


@pytest.fixture
def server(far: FarHost, tmp_path: Path) -> Iterator[SshServer]:
    """A server at that address."""
    with SshServer(tmp_path / "sshd", address=far.address, inside=far.inside) as server:
        yield server


def test_a_link_that_is_cut_for_longer_than_the_jobs_take(
    fleet_of: Callable[..., Fleet], server: SshServer, known: Path, far: FarHost, tmp_path: Path
) -> None:
    assert known.exists()
    profile = {
        "batch_type": "Shell",
        "context_type": "SSH",
        "remote_root": str(tmp_path / "remote"),
        "remote_profile": {
            "hostname": server.address,
            "port": server.port,
            "key_filename": str(server.key),
        },
    }
    fleet = fleet_of({"far": profile})
    go = tmp_path / "go"
    work = Work(tmp_path, [f"while ! [ -e {go} ]; do sleep 0.1; done; {COPY}"] * 2)
    handle = fleet.submit(work.submission(cluster="far"))
    until(handle, JobState.RUNNING, 2)
    far.cut()
    with pytest.raises(OSError, match=r"timed out|unreachable|No route"):
        socket.create_connection((server.address, server.port), timeout=1)
    go.touch()
    wait_until(
        lambda: len([*tmp_path.glob("remote/*/t*/out")]) == 2, "the jobs ended", limit=PATIENCE
    )
    assert handle.status().counts[JobState.RUNNING] == 2
    far.join()
    assert handle.result(PATIENCE).ok
    assert work.everything_came_back()
    assert work.starts() == [1, 1]
