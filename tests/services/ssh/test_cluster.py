"""A cluster behind a real sshd, served by a real worker: one login, whatever becomes of the connection."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.models.cluster import ClusterProfile
from jobferry_common.names import ClusterName
from jobferry_common.settings import Settings
from jobferry_common.states import JobState
from jobferry_worker import checkup
from jobferry_worker.cluster import open_cluster
from jobferry_worker.hosts.ssh.connect import close_all
from jobferry_worker.service import Service
from tests.testbed.processes import wait_until
from tests.testbed.work import COPY, PATIENCE, Work, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from redis import Redis

    from tests.testbed.fleet import Fleet
    from tests.testbed.sshd import SshServer

pytestmark = pytest.mark.needs("sshd")

LIMIT = timedelta(seconds=60)


@pytest.fixture
def profile(server: SshServer, known: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """A function that returns the profile of a cluster on the server, with more in its remote profile."""

    def make(**remote: Any) -> dict[str, Any]:
        given = {
            "hostname": server.address,
            "port": server.port,
            "key_filename": str(server.key),
            **remote,
        }
        return {
            "batch_type": "Shell",
            "context_type": "SSH",
            "remote_root": str(tmp_path / "remote"),
            "max_running_jobs": 4,
            "remote_profile": given,
        }

    return make


@pytest.fixture
def closing() -> Iterator[None]:
    yield
    close_all()


def test_the_opening_command_is_run_once_in_each_shell(
    profile: Callable[..., dict[str, Any]], tmp_path: Path, closing: None
) -> None:
    marks = tmp_path / "marks"
    opening = f"echo started >> {marks}; export MODULES=loaded; echo noise; false"
    given = ClusterProfile.load_from_dict(profile(execute_command=opening))
    cluster = open_cluster(ClusterName("far"), given, Settings())
    for _ in range(5):
        done = cluster.host.run(("sh", "-c", 'echo "$MODULES"'), limit=LIMIT)
        assert done.checked() == "loaded\n"
    assert marks.read_text() == "started\n"


@pytest.mark.parametrize("root", ["~/work", "work", "~"])
def test_a_root_below_the_home_directory_is_found(
    profile: Callable[..., dict[str, Any]], closing: None, root: str
) -> None:
    given = ClusterProfile.load_from_dict({**profile(), "remote_root": root})
    cluster = open_cluster(ClusterName("far"), given, Settings())
    home = cluster.host.run(("sh", "-c", "cd && pwd -P"), limit=LIMIT).checked().strip()
    assert cluster.root == (home if root == "~" else f"{home}/work")


@pytest.mark.parametrize(
    ("change", "step", "says"),
    [
        ({}, "host", ("no shell could be started: its shell ended", "execute_command (exit 3)")),
        (
            {"batch_type": "Slurm"},
            "scheduler",
            ("scontrol", "execute_command of its remote_profile"),
        ),
        ({"remote_root": "/proc/x"}, "root", ("/proc/x", "expected a remote_root that")),
    ],
    ids=["opening", "scheduler", "root"],
)
def test_the_test_of_a_cluster_says_which_step_is_wrong_and_what_to_do(
    profile: Callable[..., dict[str, Any]],
    redis: Redis,
    closing: None,
    change: dict[str, Any],
    step: str,
    says: tuple[str, ...],
) -> None:
    opening = {
        "host": "exit 3",
        "scheduler": "export SLURM_CONF=/nowhere",
        "root": "true",
    }
    far = {**profile(execute_command=opening[step]), **change}
    settings = Settings(clusters={"far": ClusterProfile.load_from_dict(far)})
    serving = Service(settings, redis)
    try:
        *before, last = checkup.walk(serving, "far", "t1")
    finally:
        serving.stop()
    assert all(one.ok for one in before), before
    assert (last.name, last.ok) == (step, False)
    assert [text for text in says if text not in last.what] == []


def test_work_needs_one_login(
    fleet_of: Callable[..., Fleet],
    profile: Callable[..., dict[str, Any]],
    server: SshServer,
    tmp_path: Path,
) -> None:
    fleet_of({"far": profile()})
    work = Work(tmp_path, [COPY] * 8)
    handle = work.submission(cluster="far").submit()
    assert handle.wait(PATIENCE).state == "finished"
    assert work.outputs() == [f"input {number}\n" for number in range(8)]
    assert work.starts() == [1] * 8
    assert server.log().count("Accepted publickey") == 1


def test_a_lost_connection_changes_no_job(
    fleet_of: Callable[..., Fleet],
    profile: Callable[..., dict[str, Any]],
    server: SshServer,
    tmp_path: Path,
) -> None:
    fleet = fleet_of({"far": profile()})
    go = tmp_path / "go"
    wait = f"while ! [ -e {go} ]; do sleep 0.1; done"
    work = Work(tmp_path, [f"{wait}; {COPY}"] * 3)
    handle = work.submission(cluster="far").submit()
    until(handle, JobState.RUNNING, 3)
    server.crash()
    wait_until(lambda: "Connection refused" in _state(fleet), "the reason is told", limit=PATIENCE)
    assert handle.status().counts[JobState.RUNNING] == 3
    go.touch()
    server.start()
    assert handle.wait(PATIENCE).state == "finished"
    assert work.outputs() == [f"input {number}\n" for number in range(3)]
    assert work.starts() == [1] * 3
    wait_until(lambda: not _state(fleet), "the cluster resumes", limit=PATIENCE)


def test_a_changed_host_key_pauses_the_cluster_until_it_is_known(
    fleet_of: Callable[..., Fleet],
    profile: Callable[..., dict[str, Any]],
    server: SshServer,
    known: Path,
    tmp_path: Path,
) -> None:
    for kind in ("ecdsa", "ed25519"):
        server.change_host_key(kind)
    server.crash()
    server.start()
    fleet = fleet_of({"far": profile(host_key_policy="accept-new")})
    work = Work(tmp_path, [COPY])
    handle = work.submission(cluster="far").submit()
    wait_until(lambda: "has changed" in _state(fleet), "the cluster is paused", limit=PATIENCE)
    assert "Accepted" not in server.log()
    known.write_text(server.known_hosts.read_text())
    assert handle.wait(PATIENCE).state == "finished"
    assert work.outputs() == ["input 0\n"]


def _state(fleet: Fleet) -> str:
    return fleet.client.ledger.cluster(ClusterName("far")).paused
