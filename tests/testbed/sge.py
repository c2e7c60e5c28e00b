"""A small real SGE cluster on this machine, in a directory of its own.

    with SgeCluster(Path("/tmp/delta"), "delta") as cluster:
        checked(["qsub", "job.sh"], env=cluster.env())

It runs testbed/sge-cluster.sh. Several of them may run side by side.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import pytest

from tests.testbed.processes import Process, checked, free_ports, run, wait_until
from tests.testbed.wrappers import Wrappers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SGE_COMMANDS: Final = ("qsub", "qstat", "qacct", "qdel", "qconf")
_SCRIPT: Final = Path(__file__).parents[2] / "testbed" / "sge-cluster.sh"
_ATTEMPTS: Final = 3


class SgeCluster:
    """sge_qmaster and one sge_execd, with the queue all.q and the parallel environments mpi and smp."""

    def __init__(self, directory: Path, name: str = "delta", *, slots: int = 32) -> None:
        self.directory = directory
        self.name = name
        self.slots = slots
        directory.mkdir(parents=True, exist_ok=True)
        self.wrappers = Wrappers(directory / "counted", SGE_COMMANDS)
        self._process: Process | None = None
        self._ports = (0, 0)

    @classmethod
    def temporary(cls, name: str = "delta") -> Self:
        """Return a cluster in a new directory."""
        return cls(Path(tempfile.mkdtemp(prefix=f"sge-{name}-")), name)

    def settings(self) -> Mapping[str, str]:
        """Return the variables that choose the cluster."""
        return {
            "SGE_ROOT": str(self.directory),
            "SGE_CELL": "cell",
            "SGE_QMASTER_PORT": str(self._ports[0]),
            "SGE_EXECD_PORT": str(self._ports[1]),
        }

    def env(self) -> dict[str, str]:
        """Return this process's environment, pointed at the cluster, with the counting wrappers."""
        path = f"{self.wrappers.path}:{os.environ['PATH']}"
        return {**os.environ, **self.settings(), "PATH": path}

    def start(self) -> None:
        """Start it and wait until its queue takes jobs; other ports are tried when one was taken."""
        ready = self.directory / "ready"
        for _ in range(_ATTEMPTS):
            first, second = free_ports(2)
            self._ports = (first, second)
            process = self._start_once()
            wait_until(lambda: ready.exists() or not process.alive(), "SGE is up", limit=120)  # noqa: B023
            if ready.exists():
                self._process = process
                return
            process.wait()
        pytest.fail(f"SGE did not start:\n{self.logs()}")

    def _start_once(self) -> Process:
        # CLUSTER_FOLLOW_STDIN: however this process ends, the cluster ends with it.
        env = {
            **os.environ,
            "CLUSTER_NAME": self.name,
            "CLUSTER_SLOTS": str(self.slots),
            "CLUSTER_PORTS": " ".join(map(str, self._ports)),
            "CLUSTER_FOLLOW_STDIN": "yes",
        }
        argv = ["bash", str(_SCRIPT), str(self.directory)]
        return Process(argv, log=self.directory / "cluster.log", env=env, follow=True)

    def stop(self) -> None:
        """End its jobs and its daemons, then remove its directory."""
        if self._process:
            self.resume()
            self._process.stop(limit=60)
            self._process = None
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
        return checked(argv, env={**os.environ, **self.settings()})

    def queue(self) -> list[str]:
        """Return the ids of the live jobs, one for all waiting tasks of an array."""
        lines = self.command("qstat", "-u", "*").splitlines()[2:]
        return [line.split()[0] for line in lines]

    def reset(self) -> None:
        """Make it as new for the next test: no jobs, no replaced commands, no counted calls."""
        self.resume()
        wait_until(self._emptied, "the queue is empty")
        for name in SGE_COMMANDS:
            self.wrappers.restore(name)
        self.wrappers.forget()

    def _emptied(self) -> bool:
        """Delete what is in the queue; some of it may end meanwhile, which makes qdel fail."""
        if jobs := sorted(set(self.queue())):
            run(["qdel", *jobs], env={**os.environ, **self.settings()})
        return not jobs

    @contextlib.contextmanager
    def configured(self, **values: str) -> Iterator[None]:
        """Change words of the global configuration for a while."""
        before = self.command("qconf", "-sconf", "global")
        after = before
        for name, value in values.items():
            after = re.sub(rf"(?m)^{name} .*$", f"{name} {value}", after)
        self._configure(after)
        try:
            yield
        finally:
            self._configure(before)

    def _configure(self, text: str) -> None:
        path = self.directory / "changed" / "global"  # the name of the file is that of the host
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        self.command("qconf", "-Mconf", str(path))

    def pause(self) -> None:
        """Freeze sge_qmaster: every command hangs."""
        os.kill(self._controller(), signal.SIGSTOP)

    def resume(self) -> None:
        """Let sge_qmaster go on."""
        os.kill(self._controller(), signal.SIGCONT)

    def _controller(self) -> int:
        return int((self.directory / "controller").read_text())

    def logs(self) -> str:
        """Return the ends of its log files, for a failed test."""
        names = sorted(self.directory.glob("*.out")) + sorted(self.directory.glob("*.log"))
        return "\n".join(
            f"== {path.name}\n{path.read_text(errors='replace')[-2000:]}" for path in names
        )
