"""200 one-task jobs on a Slurm that is reached by ssh: jobferry, jobferry without ssh, and DPDispatcher 1.1.0.

Each round measures, one after the other, on equal commands and files, to an sshd on this machine:

- ssh: jobferry through the SSH context, from submit to all results back;
- local: the same through the Local context;
- DPDispatcher: the same through its SSHContext, with check_interval=1, from the call that submits until it returns;
- naked: an array of nothing but the commands, until the queue is empty: what Slurm itself needs for so many jobs.

The login's home directory is empty: each command of DPDispatcher is a login of its own, and would run what is there.

Then 1,000 jobs through an sshd in a process namespace of its own, where the number of the last process tells how many
processes and threads were started below sshd, from the worker's login to its last result; what its log tells of
logins; and how soon the producer knows the end of 100 jobs of 0.2 to 3 s.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import psutil

from benchmarks import peer, world
from benchmarks.dispatch import naked
from benchmarks.figure import Figure, Goal, Log, Section
from benchmarks.latency import delays, percentiles
from benchmarks.work import copies
from tests.testbed.processes import checked
from tests.testbed.sshd import SshServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.testbed.slurm import SlurmCluster

_JOBS: Final = 200
_MANY: Final = 5
_TASKS: Final = 100
_FLOOR: Final = (
    "this Slurm needs longer than a thirtieth of DPDispatcher's time for an array of nothing but the "
    "commands, until its queue is empty. Start-up files of a login, which are empty here, would make each "
    "of DPDispatcher's commands longer."
)
_PROCESSES: Final = (
    "Some of them start before the first result: two shells, the files of the tasks, the scripts. Each "
    "round of results, each look at the queue and each removal of hints takes some more, with rests between "
    "them: a run that takes longer has more of them. Threads count as well."
)
#: what happens in it happens in a process namespace of its own
_APART: Final = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


def measure(rounds: int, jobs: int) -> Section:
    """Measure all ways in turn, then what a run needs at the far side, and how soon its ends are told."""
    jobs = jobs or _JOBS
    log = Log()
    with world.directory() as path, world.slurm() as slurm:
        python = peer.install(path)
        for number in range(rounds):
            _round(path / f"r{number}", slurm, jobs, python, log)
        for number in range(rounds):
            _processes(path / f"p{number}", slurm, _MANY * jobs, log)
            _latency(path / f"l{number}", slurm, number, log)
    return Section(
        title="Over ssh to Slurm, against DPDispatcher",
        command=f"python -m benchmarks.run --only ssh_dispatch --rounds {rounds}",
        about=(__doc__ or "").split("\n", 2)[2].strip(),
        figures=_figures(log, jobs),
        raws=tuple(log.raws),
    )


def _figures(log: Log, jobs: int) -> tuple[Figure, ...]:
    return (*_of_time(log, jobs), *_of_load(log, jobs))


def _of_time(log: Log, jobs: int) -> tuple[Figure, ...]:
    return (
        Figure(
            name=f"{jobs} jobs over ssh, DPDispatcher : jobferry",
            goal=Goal(bound=30, unit="×", at_least=True),
            values=log.ratio("DPDispatcher", "ssh"),
            why=_FLOOR,
        ),
        Figure(
            name=f"{jobs} jobs, DPDispatcher : naked array",
            values=log.ratio("DPDispatcher", "naked array"),
            unit="×",
        ),
        Figure(
            name=f"{jobs} jobs over ssh : naked array",
            values=log.ratio("ssh", "naked array"),
            unit="×",
        ),
        Figure(
            name=f"{jobs} jobs, ssh : local",
            goal=Goal(bound=1.3, unit="×"),
            values=log.ratio("ssh", "local"),
        ),
    )


def _of_load(log: Log, jobs: int) -> tuple[Figure, ...]:
    return (
        Figure(
            name=f"processes below sshd for each of {_MANY * jobs:,} jobs",
            goal=Goal(bound=0.1, unit=""),
            values=log.of("processes below sshd, a job"),
            why=_PROCESSES,
        ),
        Figure(
            name="logins of a whole run",
            goal=Goal(bound=1, unit=""),
            values=log.of("logins"),
        ),
        Figure(
            name="end of a task to its event, over ssh, p95",
            goal=Goal(bound=1.5, unit="s"),
            values=log.of("ssh, p95"),
        ),
    )


@contextmanager
def _login_node(path: Path, slurm: SlurmCluster, *inside: str) -> Iterator[SshServer]:
    """Start an sshd whose logins find the Slurm, and which this user knows."""
    env = {"SLURM_CONF": str(slurm.directory / "slurm.conf")}
    with SshServer(path / "sshd", env=env, inside=inside) as server:
        ssh = path.parent / ".ssh"
        ssh.mkdir(mode=0o700, exist_ok=True)
        with (ssh / "known_hosts").open("a") as known:
            known.write(server.known_hosts.read_text())
        yield server


def _profile(server: SshServer) -> dict[str, Any]:
    remote = {"hostname": server.address, "port": server.port, "key_filename": str(server.key)}
    return {"context_type": "SSH", "remote_profile": remote}


def _round(path: Path, slurm: SlurmCluster, jobs: int, python: Path, log: Log) -> None:
    slurm.reset()
    with _login_node(path, slurm) as server:
        world.wait_for_quiet()
        ours = copies(path / "ssh", slurm, jobs, as_usual=True, **_profile(server))
        log.note("ssh", ours.seconds, "s")
        log.note("logins", server.log().count("Accepted publickey"), "a run")
        log.note("local", copies(path / "local", slurm, jobs, as_usual=True).seconds, "s")
        machine = {
            "context_type": "SSHContext",
            "remote_profile": {**_profile(server)["remote_profile"], "username": "root"},
        }
        took = peer.theirs(path / "theirs", slurm, jobs, python, machine=machine)
        log.note("DPDispatcher", took, "s")
        log.note("naked array", naked(path / "naked", slurm, jobs), "s")
    shutil.rmtree(path)


def _processes(path: Path, slurm: SlurmCluster, jobs: int, log: Log) -> None:
    slurm.reset()
    with _login_node(path, slurm, *_APART) as server:
        before = _last_process(server)
        took = copies(path / "many", slurm, jobs, as_usual=True, **_profile(server)).seconds
        # to look starts a process, too
        started = _last_process(server) - before - 1
        log.note(f"ssh, {jobs:,} jobs", took, "s")
        log.note("processes below sshd, a job", started / jobs, "")
    shutil.rmtree(path)


def _last_process(server: SshServer) -> int:
    [inside] = psutil.Process(server.pid).children()
    enter = ("nsenter", "--target", str(inside.pid), "--pid", "--mount")
    return int(checked([*enter, "cat", "/proc/sys/kernel/ns_last_pid"]))


def _latency(path: Path, slurm: SlurmCluster, seed: int, log: Log) -> None:
    slurm.reset()
    with _login_node(path, slurm) as server:
        profile = {
            "batch_type": "Slurm",
            "remote_root": str(path / "remote"),
            "login_shell": False,
            **_profile(server),
        }
        with world.fleet(path, {"bench": profile}, env=dict(os.environ)) as fleet:
            world.wait_for_quiet()
            percentiles(delays(fleet, path, _TASKS, seed, back=("out",)), "ssh", log)
    shutil.rmtree(path)
