"""Work through a worker, a real sshd and a real Slurm, and back, whatever becomes of server, key or login."""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from jobferry_common.states import JobState, RunState
from jobferry_worker.hosts.ssh.backoff import Patience
from tests.services.ssh.slurm.telling import paused, submit, tell, told, waiting
from tests.testbed.disks import SmallDisk
from tests.testbed.processes import wait_until
from tests.testbed.proxy import Proxy
from tests.testbed.sshd import SshServer
from tests.testbed.work import COPY, PATIENCE, Work, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.testbed.fleet import Fleet
    from tests.testbed.slurm import SlurmCluster

pytestmark = pytest.mark.needs("sshd", "slurm", "valkey")

#: more than any buffer on the way takes
BIG = 24 << 20
HALF = 8 << 20
_FAKED = ("LD_PRELOAD", "FAKETIME", "FAKETIME_SHARED")


def test_work_goes_there_and_comes_back_and_is_resumed(
    make_fleet: Callable[..., Fleet],
    make_work: Callable[..., Work],
    server: SshServer,
    tmp_path: Path,
) -> None:
    fleet = make_fleet(retry_count=0)
    mended = tmp_path / "mended"
    fails = f"echo tried; [ -e {mended} ] || {{ echo no minimum found >&2; exit 3; }}; {COPY}"
    work = make_work(*[COPY] * 5, fails)
    handle = submit(fleet, work, continue_on_failure=True)
    result = handle.result(PATIENCE, checked=False)
    [failure] = result.failures
    assert (failure.task, failure.code) == (5, 3)
    assert "no minimum found" in "".join(failure.stderr)
    assert (work.base / "t5/err").read_text() == "no minimum found\n"
    assert (work.base / "t5/log").read_text() == "tried\n"
    mended.touch()
    assert submit(fleet, work, continue_on_failure=True).result(PATIENCE).ok
    assert work.everything_came_back()
    assert work.starts() == [1, 1, 1, 1, 1, 2]
    assert server.log().count("Accepted publickey") == 1


def test_a_job_that_runs_is_cancelled(
    make_fleet: Callable[..., Fleet], make_work: Callable[..., Work], slurm: SlurmCluster
) -> None:
    fleet = make_fleet()
    work = make_work("sleep 300", "sleep 300")
    handle = submit(fleet, work)
    until(handle, JobState.RUNNING, 2)
    handle.cancel()
    assert handle.wait(PATIENCE).state is RunState.CANCELLED
    assert slurm.queue() == []
    assert work.starts() == [1, 1]


def test_sshd_goes_while_files_travel(
    make_fleet: Callable[..., Fleet],
    make_work: Callable[..., Work],
    server: SshServer,
    proxy: Proxy,
    slurm: SlurmCluster,
) -> None:
    fleet = make_fleet(proxy.port)
    before = make_work(COPY, name="before")
    assert submit(fleet, before).result(PATIENCE).ok
    work = make_work(COPY)
    data = secrets.token_bytes(BIG)
    (work.base / "t0/in").write_bytes(data)

    server.stop()
    proxy.reset_after = HALF
    handle = submit(fleet, work)
    wait_until(lambda: paused(fleet), "the cluster is paused while files go there", limit=PATIENCE)
    assert work.starts() == [0]
    proxy.reset_after = 0
    proxy.reset_after_received = HALF
    server.start()
    wait_until(lambda: work.starts() == [1], "the job was started", limit=PATIENCE)
    wait_until(lambda: not slurm.queue(), "the job ended", limit=PATIENCE)
    # the connection breaks with each attempt to bring the files, until it is thought to be broken
    tell(fleet, "breaks again and again")
    server.stop()
    proxy.reset()
    assert not (work.base / "t0/out").exists()
    proxy.reset_after_received = 0
    server.start()
    assert handle.result(PATIENCE).ok
    assert (work.base / "t0/out").read_bytes() == data
    assert work.starts() == [1]


def test_sshd_goes_while_jobs_run_that_end_meanwhile(
    make_fleet: Callable[..., Fleet],
    make_work: Callable[..., Work],
    server: SshServer,
    slurm: SlurmCluster,
    tmp_path: Path,
) -> None:
    fleet = make_fleet()
    work = make_work(*[waiting(tmp_path / "go")] * 3)
    handle = submit(fleet, work)
    until(handle, JobState.RUNNING, 3)
    server.crash()
    tell(fleet, "Connection refused")
    (tmp_path / "go").touch()
    wait_until(lambda: not slurm.queue(), "the jobs ended", limit=PATIENCE)
    assert handle.status().counts[JobState.RUNNING] == 3
    server.start()
    assert handle.result(PATIENCE).ok
    assert work.everything_came_back()
    assert work.starts() == [1] * 3


@pytest.mark.parametrize("touched", [True, False], ids=["and is touched", "and nobody does more"])
def test_a_key_that_is_not_let_in_any_more_pauses_the_cluster_until_it_is_again(
    make_fleet: Callable[..., Fleet],
    make_work: Callable[..., Work],
    server: SshServer,
    tmp_path: Path,
    *,
    touched: bool,
) -> None:
    fleet = make_fleet()
    work = make_work(waiting(tmp_path / "go"), COPY)
    handle = submit(fleet, work)
    until(handle, JobState.RUNNING, 1)
    keys = server.authorized_keys.read_text()
    server.authorized_keys.write_text("")
    server.crash()
    server.start()
    tell(fleet, "does not let the worker's user in")
    (tmp_path / "go").touch()
    server.authorized_keys.write_text(keys)
    # the pause after a refused login is long; whoever touches the key is tried at once
    if touched:
        os.utime(server.key)
    refused = Patience()
    pauses = 0 if touched else refused.first_refused_seconds + refused.most_refused_seconds
    assert handle.result(PATIENCE + pauses).ok
    assert work.everything_came_back()
    assert work.starts() == [1, 1]


def test_a_host_key_that_changes_meanwhile_pauses_the_cluster(
    make_fleet: Callable[..., Fleet],
    make_work: Callable[..., Work],
    server: SshServer,
    known: Path,
    tmp_path: Path,
) -> None:
    fleet = make_fleet()
    work = make_work(waiting(tmp_path / "go"))
    handle = submit(fleet, work)
    until(handle, JobState.RUNNING, 1)
    server.change_host_key()
    server.crash()
    server.start()
    tell(fleet, "has changed")
    (tmp_path / "go").touch()
    known.write_text(server.known_hosts.read_text())
    assert handle.result(PATIENCE).ok
    assert work.everything_came_back()
    assert work.starts() == [1]


def test_a_login_that_prints_garbage_harms_nothing(
    make_fleet: Callable[..., Fleet], make_work: Callable[..., Work], server: SshServer
) -> None:
    garbage = "printf 'Welcome\\0\\377<%s> 0 0\\n' $$; echo disk quota exceeded >&2; stty -a\n"
    (server.home / ".bashrc").write_text(garbage)
    # only at a real login somebody is asked
    (server.home / ".bash_profile").write_text(f"{garbage}read -p 'Which project? ' project\n")
    fleet = make_fleet()
    work = make_work(*[COPY] * 3)
    assert submit(fleet, work).result(PATIENCE).ok
    assert work.everything_came_back()
    assert work.starts() == [1] * 3


@pytest.fixture(params=["+1h", "-1h"])
def wrong_clock(server: SshServer, request: pytest.FixtureRequest) -> Iterator[None]:
    """All that runs at the far side, the jobs among it, takes the time for another.

    A process holds what they share, and removes it when its stdin ends.
    """
    argv = ["faketime", "-f", str(request.param), "sh", "-c", "env; echo; exec cat"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        lines = (line.strip().partition("=") for line in iter(holder.stdout.readline, "\n"))
        shared = {name: value for name, _, value in lines if name in _FAKED}
        server.env |= {**shared, "DONT_FAKE_MONOTONIC": "1"}
        server.restart()
        yield


@pytest.mark.needs("faketime")
@pytest.mark.usefixtures("wrong_clock")
def test_a_clock_that_is_wrong_by_an_hour_harms_nothing(
    make_fleet: Callable[..., Fleet], make_work: Callable[..., Work]
) -> None:
    fleet = make_fleet()
    work = make_work(COPY, COPY, "date +%s > out")
    assert submit(fleet, work).result(PATIENCE).ok
    *copies, date = work.outputs()
    assert copies == ["input 0\n", "input 1\n"]
    assert abs(int(date or 0) - time.time()) > 3000
    assert work.starts() == [1] * 3


@pytest.mark.needs("namespaces")
@pytest.mark.parametrize("kind", ["full", pytest.param("quota", marks=pytest.mark.needs("btrfs"))])
def test_a_full_disk_is_told_with_its_path(
    make_fleet: Callable[..., Fleet], make_work: Callable[..., Work], tmp_path: Path, kind: str
) -> None:
    remote = tmp_path / "remote"
    remote.mkdir()
    with SmallDisk(remote, mib=4, kind=kind) as disk:
        fleet = make_fleet()
        work = make_work(COPY)
        data = secrets.token_bytes(BIG)
        (work.base / "t0/in").write_bytes(data)
        handle = submit(fleet, work)
        reason = wait_until(lambda: told(fleet, handle), "the reason is told", limit=PATIENCE)
        assert f"{remote}/" in reason
        assert disk.words in reason
        disk.grow()
        assert handle.result(PATIENCE).ok
        assert (work.base / "t0/out").read_bytes() == data
        assert work.starts() == [1]
        fleet.stop()
