"""A producer and a worker as on two hosts: each in a mount namespace in which the other's directory is empty.

with TwoHosts(directory, "file") as hosts:
    hosts.write("cat in > out")
    hosts.producer("submit", "submission.json")
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from jobferry_common.ledger import Ledger
from tests.testbed.broker import Broker
from tests.testbed.fleet import BIN, QUICK, write_settings
from tests.testbed.namespaces import hidden
from tests.testbed.processes import Process, run, wait_until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping

    from jobferry_common.ledger.records import RunRecord
    from tests.testbed.sshd import SshServer

PATIENCE: Final = 120.0


def depot_at(kind: str, directory: Path, server: SshServer | None) -> dict[str, Any]:
    """Return the settings of a depot that both hosts reach."""
    if kind == "file":
        return {"url": f"file://{directory / 'depot'}"}
    if kind == "redis":
        return {"url": "redis:", "limit_mib": 64}
    assert server is not None
    options = {"key_filename": str(server.key), "known_hosts": str(server.known_hosts)}
    # nobody but the server sees this directory: it is hidden from both hosts
    return {"url": f"sftp://root@127.0.0.1:{server.port}{directory / 'store'}", "options": options}


class TwoHosts:
    """Broker, worker and producer; the last two share nothing but the broker and the depot."""

    def __init__(self, directory: Path, depot: Mapping[str, Any], **profile: Any) -> None:
        self.directory = directory
        self.home = directory / "producer"
        self.far = directory / "worker"
        self.depot = directory / "depot"
        for path in (self.home / "work", self.far / "root", self.depot, directory / "store"):
            path.mkdir(parents=True, exist_ok=True)
        self.broker = Broker(directory / "broker")
        self._depot = depot
        self._profile = profile
        self.worker: Process | None = None

    def __enter__(self) -> Self:
        self.broker.start()
        self._configure(self.home, {})
        self.serve(self._depot)
        return self

    def __exit__(self, *_: object) -> None:
        if self.worker is not None:
            self.worker.stop()
        self.broker.stop()

    def _configure(self, place: Path, depot: Mapping[str, Any], **settings: Any) -> None:
        known = {"broker": self.broker.url, "timings": QUICK, "depot": {**self._depot, **depot}}
        write_settings(place / "config.toml", {**known, **settings})

    def serve(self, depot: Mapping[str, Any]) -> Process:
        """Start a worker, which does not see the producer's directory, and wait until it is ready."""
        profile = {
            "batch_type": "Shell",
            "context_type": "Local",
            "remote_root": str(self.far / "root"),
            "commands_per_second": 50.0,
            **self._profile,
        }
        self._configure(self.far, depot, clusters={"far": profile})
        command = (str(BIN / "jobferry"), "worker", "--cluster", "far", "--beat", "-l", "INFO")
        unseen = hidden(self.home, self.directory / "store")
        worker = Process(
            [*unseen, *command],
            log=self.directory / "worker.log",
            env=self._environment(self.far),
            cwd=self.directory,
        )
        self.worker = worker
        wait_until(lambda: "ready." in worker.text() or not worker.alive(), "the worker is ready")
        assert worker.alive(), worker.text()
        return worker

    def _environment(self, place: Path) -> dict[str, str]:
        return {**os.environ, "HOME": str(place), "JOBFERRY_CONFIG": str(place / "config.toml")}

    def _argv(self, *arguments: str) -> list[str]:
        unseen = hidden(self.far, self.directory / "store")
        return [*unseen, str(BIN / "jobferry"), *arguments]

    def producer(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command where the worker's directory is not seen."""
        env = self._environment(self.home)
        done = run(self._argv(*arguments), env=env, cwd=self.home, limit=PATIENCE)
        assert done.returncode == code, (done.stdout, done.stderr, self.log())
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def start_producer(self, *arguments: str) -> Process:
        """Start a command and leave it running."""
        env = self._environment(self.home)
        log = self.directory / "producer.log"
        return Process(self._argv(*arguments), log=log, env=env, cwd=self.home)

    def log(self) -> str:
        """Return what the worker said last."""
        return (self.directory / "worker.log").read_text(errors="replace")[-6000:]

    def write(self, *commands: str, **more: Any) -> None:
        """Write a submission of these commands, each in a directory with an input."""
        for number in range(len(commands)):
            (self.home / f"work/t{number}").mkdir(parents=True, exist_ok=True)
            (self.home / f"work/t{number}/in").write_text(f"input {number}\n")
        tasks = [
            {
                "command": command,
                "task_work_path": f"t{number}",
                "forward_files": ["in"],
                "backward_files": ["out"],
            }
            for number, command in enumerate(commands)
        ]
        data = {"cluster": "far", "resources": {"group_size": 1}, "task_list": tasks, **more}
        text = json.dumps({"work_base": str(self.home / "work"), **data})
        (self.home / "submission.json").write_text(text)

    def result(self, path: str) -> Path:
        """Return where a result belongs."""
        return self.home / "work" / path

    def ledger(self) -> Ledger:
        """Return the ledger, to look at it directly."""
        return Ledger(self.broker.client())

    def record(self) -> RunRecord:
        """Return the only run."""
        return self.ledger().runs()[0]

    def remains(self) -> list[str]:
        """Return the objects that are left in the depot."""
        inside = [
            path
            for place in ("depot", "store")
            for path in (self.directory / place).glob("objects/*/*")
        ]
        keys = self.broker.client().keys("jobferry:depot:data:*")
        return [*(path.name for path in inside), *map(str, keys)]
