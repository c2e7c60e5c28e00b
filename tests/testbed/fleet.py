"""jobferry as it runs in earnest: a broker, Celery workers and beat as processes, one settings file.

    with Fleet(directory, {"alpha": {"batch_type": "Slurm", …}}, env=slurm.env()) as fleet:
        fleet.jobferry("submit", "submission.json")
        fleet.worker.kill()
        fleet.start_worker()

The processes of the test itself (the producer) find the same settings through `JOBFERRY_CONFIG`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import pytest

from jobferry import connect
from jobferry_common.ledger import Ledger
from tests.testbed.broker import Broker
from tests.testbed.processes import Process, run, wait_until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping

    from jobferry import Client, Handle, Submission

ROOT: Final = Path(__file__).parents[2]
BIN: Final = Path(sys.executable).parent

#: quicker than in earnest, so that a test waits for the work and not for the rhythm
QUICK: Final = {
    "tick_busy_seconds": 0.5,
    "tick_idle_seconds": 2,
    "look_seconds": 2,
    "look_max_seconds": 5,
    "lease_seconds": 6,
    "command_seconds": 20,
    "retry_seconds": 0.5,
    "grace_seconds": 6,
    "probe_seconds": 1,
    "probe_max_seconds": 5,
    "soft_stop_seconds": 2,
}


def write_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Write a settings file; JSON's scalars and lists are TOML's too."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items() if not _table(value)]
    for name, table in settings.items():
        if name == "clusters":
            for cluster, profile in table.items():
                lines += _section(f'clusters."{cluster}"', profile)
        elif _table(table):
            lines += _section(name, table)
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o600)


def _table(value: object) -> bool:
    return isinstance(value, dict)


def _section(name: str, table: Mapping[str, Any]) -> list[str]:
    rest = [f"{key} = {json.dumps(value)}" for key, value in table.items() if not _table(value)]
    inner = [
        line
        for key, value in table.items()
        if _table(value)
        for line in _section(f"{name}.{key}", value)
    ]
    return [f"[{name}]", *rest, *inner]


class Fleet:
    """Broker, worker and beat for some clusters, from one directory with a short path."""

    def __init__(
        self,
        directory: Path,
        clusters: Mapping[str, Mapping[str, Any]],
        *,
        env: Mapping[str, str] | None = None,
        timings: Mapping[str, float] | None = None,
        worker: bool = True,
        quick: bool = True,
        **settings: Any,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.clusters = clusters
        self.broker = Broker(directory / "broker")
        self.config = directory / "config.toml"
        self._with_worker = worker
        #: environment of every process; tests may change it before they start one
        self.env = {**(env or os.environ), "JOBFERRY_CONFIG": str(self.config)}
        self._settings = {
            "timings": {**(QUICK if quick else {}), **(timings or {})},
            "clusters": clusters,
            **settings,
        }
        self.processes: dict[str, Process] = {}

    @property
    def worker(self) -> Process:
        """The worker that was started last."""
        return self.processes["worker"]

    def start(self) -> None:
        """Start all of it; returns once worker and beat are at work."""
        self.broker.start()
        write_settings(self.config, {"broker": self.broker.url, **self._settings})
        if self._with_worker:
            self.start_worker()
        self.start_beat()

    def start_worker(self, **env: str) -> Process:
        """Start a worker on all clusters, by Celery's own command, and wait until it is ready."""
        queues = ",".join(f"jobferry.{name}" for name in self.clusters)
        return self._celery("worker", ("-Q", queues, "-P", "threads", "-n", "w@%h"), "ready.", env)

    def start_worker_of(self, cluster: str, env: Mapping[str, str] | None = None) -> Process:
        """Start a worker for one of the clusters alone, and wait until it is ready."""
        options = ("-Q", f"jobferry.{cluster}", "-P", "threads", "-n", f"{cluster}@%h")
        return self._celery("worker", options, "ready.", env or {}, key=f"worker of {cluster}")

    def start_beat(self) -> Process:
        """Start beat and wait until it is ready."""
        schedule = str(self.directory / "schedule")
        return self._celery("beat", ("-s", schedule), "beat: Starting", {})

    def _celery(
        self,
        name: str,
        options: tuple[str, ...],
        sign: str,
        env: Mapping[str, str],
        key: str = "",
    ) -> Process:
        command = (sys.executable, "-m", "celery", "-A", "jobferry_worker", name, "-l", "INFO")
        log = self.directory / f"{name}-{time.monotonic_ns()}.log"
        process = Process(
            (*command, *options), log=log, env={**self.env, **env}, cwd=self.directory
        )
        self.processes[key or name] = process
        wait_until(lambda: sign in process.text() or not process.alive(), f"celery {name} is ready")
        if sign not in process.text() and "JOBFERRY_KILL_AT" not in env:
            pytest.fail(f"celery {name} ended with {process.wait()}:\n{process.text()}")
        return process

    @cached_property
    def client(self) -> Client:
        """The way of the test's own process to the broker."""
        return connect(self.broker.url)

    def submit(self, submission: Submission, *, reuse: bool = True) -> Handle:
        """Hand a submission over from the test's own process."""
        return submission.submit(client=self.client, reuse=reuse)

    def stop(self) -> None:
        """Stop all of it, the broker last."""
        if "client" in self.__dict__:
            self.client.close()
        for process in reversed(self.processes.values()):
            process.stop()
        self.broker.stop()

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    def jobferry(self, *arguments: str, limit: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run the `jobferry` command, as a user on the same settings would."""
        return run(
            [str(BIN / "jobferry"), *arguments], env=self.env, cwd=self.directory, limit=limit
        )

    def ledger(self) -> Ledger:
        """Return the ledger, to look at it directly."""
        return Ledger(self.broker.client())

    def logs(self) -> dict[str, str]:
        """Return what each process printed last."""
        return {
            path.name: path.read_text(errors="replace")[-20_000:]
            for path in self.directory.glob("*.log")
        }
