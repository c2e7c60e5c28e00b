"""sshd goes in each phase of a run, or the link is as bad as can be: it is told, and nothing is done twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobferry_common.names import ClusterName
from jobferry_common.states import JobState, ResultsState, RunState
from tests.services.ssh.slurm.telling import paused, submit, tell, waiting
from tests.testbed.processes import wait_until
from tests.testbed.work import COPY, PATIENCE, Work, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.testbed.fleet import Fleet
    from tests.testbed.proxy import Proxy
    from tests.testbed.slurm import SlurmCluster
    from tests.testbed.sshd import SshServer

pytestmark = pytest.mark.needs("sshd", "slurm", "valkey")


def put_first(server: SshServer, directory: Path) -> None:
    """Let a directory be the first of PATH after a login."""
    (server.home / ".bash_profile").write_text(f'PATH="{directory}:$PATH"\n')


def test_sshd_is_away_before_files_are_brought(
    make_fleet: Callable[..., Fleet], make_work: Callable[..., Work], server: SshServer
) -> None:
    fleet = make_fleet()
    server.crash()
    work = make_work(COPY, COPY)
    handle = submit(fleet, work)
    tell(fleet, "Connection refused")
    assert handle.status().counts[JobState.PENDING] == 2
    server.start()
    assert handle.result(PATIENCE).ok
    assert work.everything_came_back()
    assert work.starts() == [1, 1]
    wait_until(lambda: not paused(fleet), "it goes on", limit=PATIENCE)


@pytest.mark.parametrize(
    "sbatch",
    ['touch "{mark}"; sleep 600', 'id=$("$REAL" "$@"); touch "{mark}"; sleep 600; echo "$id"'],
    ids=["before the scheduler has the job", "when the scheduler has it"],
)
def test_sshd_goes_while_a_job_is_submitted(
    make_fleet: Callable[..., Fleet],
    make_work: Callable[..., Work],
    server: SshServer,
    slurm: SlurmCluster,
    tmp_path: Path,
    sbatch: str,
) -> None:
    mark = tmp_path / "submitting"
    put_first(server, slurm.wrappers.path)
    slurm.wrappers.replace("sbatch", sbatch.format(mark=mark))
    fleet = make_fleet()
    work = make_work(COPY)
    handle = submit(fleet, work)
    wait_until(mark.exists, "the job is submitted", limit=PATIENCE)
    server.crash()
    slurm.wrappers.restore("sbatch")
    tell(fleet, "Connection refused")
    assert handle.status().counts[JobState.SUBMITTING] == 1
    server.start()
    assert handle.result(PATIENCE).ok
    assert work.everything_came_back()
    assert work.starts() == [1]
    wait_until(lambda: not paused(fleet), "it goes on", limit=PATIENCE)


def test_sshd_goes_while_files_are_removed(
    make_fleet: Callable[..., Fleet],
    make_work: Callable[..., Work],
    server: SshServer,
    tmp_path: Path,
) -> None:
    mark, tools = tmp_path / "removing", tmp_path / "tools"
    tools.mkdir()
    (tools / "rm").write_text(
        f"""#!/bin/bash
if [[ "$* " =~ /remote/[0-9a-f]+-[0-9]+" " && ! -e "{mark}" ]]; then
    touch "{mark}"
    sleep 600
fi
exec /bin/rm "$@"
"""
    )
    (tools / "rm").chmod(0o755)
    put_first(server, tools)
    fleet = make_fleet()
    work = make_work(COPY, COPY)
    handle = submit(fleet, work)
    wait_until(mark.exists, "the directory is removed", limit=PATIENCE)
    assert work.everything_came_back()
    server.crash()
    tell(fleet, "Connection refused")
    server.start()

    def cleaned() -> bool:
        return fleet.ledger().run(handle.id).results is ResultsState.CLEANED

    wait_until(cleaned, "the run's files are removed", limit=PATIENCE)
    assert not (tmp_path / "remote" / handle.id).exists()
    assert handle.result(PATIENCE).ok
    assert work.starts() == [1, 1]
    wait_until(lambda: not paused(fleet), "it goes on", limit=PATIENCE)


def test_a_link_that_stalls_while_jobs_run(
    make_fleet: Callable[..., Fleet],
    make_work: Callable[..., Work],
    proxy: Proxy,
    slurm: SlurmCluster,
    tmp_path: Path,
) -> None:
    fleet = make_fleet(proxy.port)
    work = make_work(*[waiting(tmp_path / "go")] * 2)
    handle = submit(fleet, work)
    until(handle, JobState.RUNNING, 2)
    proxy.stall()
    (tmp_path / "go").touch()
    wait_until(lambda: not slurm.queue(), "the jobs ended", limit=PATIENCE)
    tell(fleet, "stopped answering")
    assert handle.status().counts[JobState.RUNNING] == 2
    proxy.go_on()
    assert handle.result(PATIENCE).ok
    assert work.everything_came_back()
    assert work.starts() == [1, 1]
    wait_until(lambda: not paused(fleet), "it goes on", limit=PATIENCE)


def test_a_link_that_is_late_by_200_ms_only_takes_longer(
    make_fleet: Callable[..., Fleet], make_work: Callable[..., Work], proxy: Proxy
) -> None:
    fleet = make_fleet(proxy.port)
    proxy.delay = 0.2
    work = make_work(*[COPY] * 4)
    assert submit(fleet, work).result(PATIENCE).ok
    assert work.everything_came_back()
    assert work.starts() == [1] * 4
    assert proxy.connections == 1
    assert fleet.ledger().cluster(ClusterName("far")).failures == 0


def test_a_user_who_cleans_while_sshd_is_away_is_told_why_and_what_to_do(
    make_fleet: Callable[..., Fleet],
    make_work: Callable[..., Work],
    server: SshServer,
    tmp_path: Path,
) -> None:
    fleet = make_fleet()
    work = make_work(COPY)
    handle = submit(fleet, work, clean=False)
    assert handle.result(PATIENCE).ok
    server.crash()
    done = fleet.jobferry("clean", handle.id)
    assert done.returncode == 3
    assert "Connection refused" in done.stderr
    assert "Clean again once that is mended" in done.stderr
    log = fleet.worker.text()
    assert "jobferry.clean of" in log
    assert "Traceback" not in log
    server.start()
    wait_until(lambda: fleet.jobferry("clean", handle.id).returncode == 0, "it is cleaned")
    assert not (tmp_path / "remote" / handle.id).exists()


def test_sshd_goes_while_a_run_is_cancelled(
    make_fleet: Callable[..., Fleet],
    make_work: Callable[..., Work],
    server: SshServer,
    slurm: SlurmCluster,
) -> None:
    fleet = make_fleet()
    handle = submit(fleet, make_work(*["sleep 600"] * 2))
    until(handle, JobState.RUNNING, 2)
    server.crash()
    handle.cancel()
    tell(fleet, "Connection refused")
    assert len(slurm.queue()) > 0
    assert not handle.status().state.is_final
    server.start()
    assert handle.wait(PATIENCE).state is RunState.CANCELLED
    assert slurm.queue() == []


def test_what_jobs_left_is_read_back_from_a_host_that_was_away(
    make_fleet: Callable[..., Fleet],
    make_work: Callable[..., Work],
    server: SshServer,
    tmp_path: Path,
) -> None:
    """sshd goes, jobs end, the worker dies: a new worker reads from the host what has run meanwhile."""
    fleet = make_fleet()
    work = make_work(*[waiting(tmp_path / "go")] * 3)
    handle = submit(fleet, work)
    until(handle, JobState.RUNNING, 3)
    server.crash()
    tell(fleet, "Connection refused")
    (tmp_path / "go").touch()
    fleet.worker.kill()
    fleet.start_worker()
    server.start()
    assert handle.result(PATIENCE).ok
    assert work.starts() == [1] * 3
