"""A small real Slurm cluster on this machine, in a directory of its own.

    with SlurmCluster(Path("/tmp/alpha"), "alpha") as cluster:
        checked(["sbatch", "job.sh"], env=cluster.env())

It runs testbed/slurm-cluster.sh, the entry point of the containers too. Several of them may run side by side.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import pytest

from tests.testbed.processes import Process, checked, free_ports, lives, wait_until
from tests.testbed.wrappers import SLURM_COMMANDS, Wrappers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TESTBED: Final = Path(__file__).parents[2] / "testbed"
_ATTEMPTS: Final = 3
_PATH: Final = "/usr/sbin:/usr/local/sbin:/usr/bin"


class SlurmCluster:
    """slurmctld, a slurmd for each virtual node, munged; with `accounting` slurmdbd and MariaDB too.

    `inside` stands before the command that starts it: a namespace that it is to be in.
    """

    def __init__(  # noqa: PLR0913 - one argument for each setting
        self,
        directory: Path,
        name: str = "alpha",
        *,
        nodes: int = 4,
        cpus: int = 8,
        accounting: bool = False,
        extra: str = "",
        inside: Sequence[str] = (),
    ) -> None:
        self.directory = directory
        self.inside = inside
        self.name = name
        self.nodes = nodes
        self.cpus = cpus
        self.accounting = accounting
        self.extra = extra
        directory.mkdir(parents=True, exist_ok=True)
        self.wrappers = Wrappers(directory / "bin", SLURM_COMMANDS)
        self._process: Process | None = None
        self._restarted: Process | None = None

    @classmethod
    def temporary(cls, name: str = "alpha", *, accounting: bool = False) -> Self:
        """Return a cluster in a new directory whose path is short enough for a socket."""
        return cls(Path(tempfile.mkdtemp(prefix=f"slurm-{name}-")), name, accounting=accounting)

    def env(self) -> dict[str, str]:
        """Return this process's environment, pointed at the cluster, with the counting wrappers."""
        path = f"{self.wrappers.path}:{os.environ['PATH']}"
        return {**os.environ, "SLURM_CONF": str(self.directory / "slurm.conf"), "PATH": path}

    def start(self) -> None:
        """Start it and wait until every node is idle; other ports are tried when one was taken."""
        for _ in range(_ATTEMPTS):
            process = self._start_once()
            ready = self.directory / "ready"
            wait_until(lambda: ready.exists() or not process.alive(), "Slurm is up", limit=120)  # noqa: B023
            if ready.exists():
                self._process = process
                return
            process.wait()
        pytest.fail(f"Slurm did not start:\n{self.logs()}")

    def _start_once(self) -> Process:
        # CLUSTER_FOLLOW_STDIN: however this process ends, the cluster ends with it.
        script = str(TESTBED / "slurm-cluster.sh")
        argv = [*self.inside, "bash", script, str(self.directory)]
        env = {**os.environ, **self._settings(), "CLUSTER_FOLLOW_STDIN": "yes"}
        return Process(argv, log=self.directory / "cluster.log", env=env, follow=True)

    def _settings(self) -> Mapping[str, str]:
        ports = [str(port) for port in free_ports(self.nodes + 3)]
        return {
            "CLUSTER_NAME": self.name,
            "CLUSTER_CPUS": str(self.cpus),
            "CLUSTER_PORTS": " ".join(ports[2:]),
            "CLUSTER_ACCOUNTING": " ".join(ports[:2]) if self.accounting else "",
            "CLUSTER_EXTRA": self.extra,
        }

    def stop(self) -> None:
        """End its jobs and its daemons, then remove its directory."""
        if self._process:
            self._process.stop(limit=60)
            self._process = None
        if self._restarted:
            self._restarted.stop()
            self._restarted = None
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    def command(self, *argv: str) -> str:
        """Run one command against the cluster, uncounted; it has to succeed."""
        env = {**os.environ, "SLURM_CONF": str(self.directory / "slurm.conf")}
        return checked(argv, env=env)

    def queue(self) -> list[str]:
        """Return the ids of the live jobs; each element of an array stands for itself."""
        return self.command("squeue", "-h", "-a", "-r", "-o", "%i").split()

    def reset(self) -> None:
        """Make it as new for the next test: no jobs, no replaced commands, no counted calls."""
        self.resume()
        self.command("scancel", "--full", "--user=root")
        wait_until(lambda: not self.queue(), "the queue is empty")
        for name in SLURM_COMMANDS:
            self.wrappers.restore(name)
        self.wrappers.forget()

    def pause(self) -> None:
        """Freeze slurmctld: every command hangs until its own time limit."""
        os.kill(self._controller(), signal.SIGSTOP)

    def resume(self) -> None:
        """Let slurmctld go on."""
        os.kill(self._controller(), signal.SIGCONT)

    def stop_controller(self) -> None:
        """Stop slurmctld as its operator would: it keeps what it knows of jobs."""
        self.resume()
        if self._restarted:
            self._restarted.stop()
            self._restarted = None
            return
        pid = self._controller()
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not lives(pid), "slurmctld has ended")

    def start_controller(self) -> None:
        """Start slurmctld again after it was stopped, with what it kept; returns at once."""
        env = {**os.environ, "SLURM_CONF": str(self.directory / "slurm.conf")}
        argv = (str(shutil.which("slurmctld", path=_PATH)), "-D")
        self._restarted = Process(argv, log=self.directory / "slurmctld.out", env=env)
        (self.directory / "controller").write_text(f"{self._restarted.pid}\n")

    def _controller(self) -> int:
        return int((self.directory / "controller").read_text())

    def logs(self) -> str:
        """Return the ends of its log files, for a failed test."""
        names = sorted(self.directory.glob("*.out")) + sorted(self.directory.glob("*.log"))
        return "\n".join(
            f"== {path.name}\n{path.read_text(errors='replace')[-2000:]}" for path in names
        )
