"""A worker process that is really killed, on this machine: the next one goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobferry_common.document import Document, Header, TaskSpec
from jobferry_common.models.resources import Resources
from jobferry_common.names import ClusterName, SubmissionId
from jobferry_common.states import RunState
from jobferry_worker.reconcile import lease
from jobferry_worker.reconcile.lease import holder, is_dead

if TYPE_CHECKING:
    from jobferry_common.ledger import Ledger
    from tests.testbed.broker import Broker

HERE = ClusterName("here")
WORKER = """
import sys, time
from jobferry_common.broker import connect
from jobferry_common.ledger import Ledger
from jobferry_common.models.cluster import ClusterProfile
from jobferry_common.names import ClusterName
from jobferry_common.settings import Settings, Timings
from jobferry_worker.cluster import open_cluster
from jobferry_worker.reconcile.advance import advance

url, root = sys.argv[1:]
timings = Timings(look_seconds=0.3, look_max_seconds=1, command_seconds=4, retry_seconds=0.1)
settings = Settings(timings=timings)
profile = ClusterProfile(batch_type="Shell", context_type="LazyLocal", local_root=root)
ledger = Ledger(connect(url))
cluster = open_cluster(ClusterName("here"), profile, settings)
end = time.monotonic() + 150
while ledger.open_runs(ClusterName("here")) and time.monotonic() < end:
    advance(ledger, cluster, settings)
    time.sleep(0.05)
"""


def work(url: str, root: Path, **environment: str) -> int:
    """Run a worker until nothing is open, or until it is killed; return its exit code."""
    child = subprocess.Popen(
        [sys.executable, "-c", WORKER, url, str(root)], env={**os.environ, **environment}
    )
    try:
        return child.wait(180)
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("point", ["before-reserve", "after-reserve", "after-submit", "after-ids"])
def test_a_killed_worker_adopts_its_jobs(
    valkey: Broker, ledger: Ledger, short_path: Path, point: str
) -> None:
    tasks = tuple(
        TaskSpec(position=i, command="echo ran >> log.txt", path=f"task.{i}", key=f"{i}")
        for i in range(3)
    )
    for task in tasks:
        (short_path / task.path).mkdir()
    header = Header(
        submission=SubmissionId("abcdef012345"),
        owner="me@here",
        cluster=HERE,
        source=str(short_path),
        in_place=True,
        resources=Resources(group_size=1),
        tasks=3,
    )
    run = ledger.accept(Document(header=header, tasks=tasks)).run
    ledger.change_run(run, staged=True)
    assert work(valkey.url, short_path, JOBFERRY_KILL_AT=point) == -signal.SIGKILL
    assert work(valkey.url, short_path) == 0
    assert ledger.run(run).state is RunState.FINISHED
    logs = [(short_path / task.path / "log.txt").read_text() for task in tasks]
    assert logs == ["ran\n"] * 3


def test_the_death_of_a_process_of_this_machine_is_seen() -> None:
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from jobferry_worker.reconcile.lease import holder\n"
            "print(holder(), flush=True)\nimport time; time.sleep(100)",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout is not None
        who = child.stdout.readline().strip()
        assert not is_dead(who)
        child.kill()
        child.wait()
        assert is_dead(who)
    assert not is_dead(holder())
    host, _, start, machine, rest = who.split(":")
    elsewhere = ("0123456789ab", "", "1")
    assert not any(is_dead(f"{host}:{child.pid}:{start}:{one}:{rest}") for one in elsewhere)
    assert is_dead(f"renamed:{child.pid}:{start}:{machine}:{rest}")
    assert not is_dead("somebody")


def test_a_container_of_the_same_name_is_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    who = f"host:999999999:1:{holder().split(':')[3]}:1.0"
    assert is_dead(who)
    monkeypatch.setattr(lease, "_NUMBERS", Path("/proc/self/ns/net"))
    assert not is_dead(who)
