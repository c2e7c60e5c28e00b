"""The file system of a cluster's root goes away in the middle of runs, and comes again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.names import ClusterName
from jobferry_common.states import JobState
from tests.testbed.processes import wait_until
from tests.testbed.work import COPY, PATIENCE, Work, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.testbed.fleet import Fleet
    from tests.testbed.sshd import SshServer

pytestmark = pytest.mark.needs("sshd", "valkey")


@pytest.fixture(params=["Local", "SSH"])
def fleet(
    fleet_of: Callable[..., Fleet],
    server: SshServer,
    known: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Fleet:
    """A fleet on a cluster that takes few jobs at once."""
    assert known.exists()
    login = {
        "hostname": server.address,
        "port": server.port,
        "key_filename": str(server.key),
    }
    profile: dict[str, Any] = {
        "batch_type": "Shell",
        "context_type": request.param,
        "remote_root": str(tmp_path / "mount" / "root"),
        "max_queued_jobs": 2,
        "remote_profile": login if request.param == "SSH" else {},
    }
    return fleet_of({"far": profile})


def test_a_root_that_goes_away_pauses_the_cluster_until_it_is_back(
    fleet: Fleet, tmp_path: Path
) -> None:
    mount, away, go = tmp_path / "mount", tmp_path / "away", tmp_path / "go"
    mount.mkdir(exist_ok=True)
    wait = f"while ! [ -e {go} ]; do sleep 0.1; done; {COPY}"
    first = Work(tmp_path, [wait] * 8, name="first")
    second = Work(tmp_path, [COPY] * 3, name="second")
    one = fleet.submit(first.submission(cluster="far"))
    until(one, JobState.RUNNING, 2)

    mount.rename(away)
    mount.mkdir(exist_ok=True)  # as the empty directory on which something was mounted
    other = fleet.submit(second.submission(cluster="far"))
    wait_until(lambda: "is the file system of" in paused(fleet), "it is paused", limit=PATIENCE)
    counts = one.status().counts
    assert (counts[JobState.RUNNING], counts[JobState.PENDING]) == (2, 6)
    assert other.status().counts[JobState.PENDING] == 3

    mount.rename(tmp_path / "below")
    away.rename(mount)
    go.touch()
    for handle, work in ((one, first), (other, second)):
        assert handle.result(PATIENCE).ok
        assert work.everything_came_back()
        assert work.starts() == [1] * len(work.commands)
    assert not paused(fleet)


def paused(fleet: Fleet) -> str:
    return fleet.client.ledger.cluster(ClusterName("far")).paused
