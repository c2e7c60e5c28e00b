"""The commands that become one of Celery's programs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.producer.cli.conftest import Done

    Command = Callable[..., Done]

CONFIG = """
broker = "redis://broker.example:6379/0"
[clusters.hpc1]
batch_type = "Shell"
context_type = "Local"
remote_root = "/scratch/me"
[clusters.hpc2]
batch_type = "Slurm"
context_type = "Local"
remote_root = "/scratch/me"
"""


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """What the process would have become, instead of becoming it."""
    config = tmp_path / "config.toml"
    config.write_text(CONFIG)
    monkeypatch.setenv("JOBFERRY_CONFIG", str(config))
    calls: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda _, argv: calls.append(argv))
    return calls


def test_a_worker_serves_all_clusters_of_its_settings(
    jobferry: Command, became: list[list[str]]
) -> None:
    jobferry("worker")
    [argv] = became
    assert argv[:6] == [sys.executable, "-m", "celery", "-A", "jobferry_worker", "worker"]
    assert "--queues=jobferry.hpc1,jobferry.hpc2" in argv
    assert "--pool=threads" in argv


def test_a_worker_serves_the_clusters_it_is_told(
    jobferry: Command, became: list[list[str]]
) -> None:
    jobferry("worker", "--cluster", "hpc2", "--beat", "--concurrency", "3", "--statedb", "/tmp/x")
    [argv] = became
    assert "--queues=jobferry.hpc2" in argv
    assert {"--beat", "--concurrency=3"} <= set(argv)
    assert argv[-2:] == ["--statedb", "/tmp/x"]


def test_a_worker_of_an_unknown_cluster_is_refused(
    jobferry: Command, became: list[list[str]]
) -> None:
    done = jobferry("worker", "--cluster", "hpc3")
    assert done.code == 2
    assert "holds no cluster 'hpc3'; known: hpc" in done.err
    assert became == []


def test_a_worker_needs_a_broker_and_something_to_serve(
    jobferry: Command, became: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.toml").write_text("")
    assert "no broker is set" in jobferry("worker").err
    monkeypatch.setenv("JOBFERRY_BROKER", "redis://broker.example:6379/0")
    assert "holds no cluster" in jobferry("worker").err
    assert jobferry("worker", "--inline").code == 0
    assert "--queues=jobferry.inline" in became[0]


def test_beat_and_flower_are_celerys_own(jobferry: Command, became: list[list[str]]) -> None:
    jobferry("beat")
    jobferry("flower", "--port", "5599")
    assert [argv[5] for argv in became] == ["beat", "flower"]
    assert "--port=5599" in became[1]
