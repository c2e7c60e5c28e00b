"""Fixtures for tests of the producer: a client of an empty broker, work on disk, and ways to play the worker."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from jobferry.client import Client
from jobferry_common.settings import Settings
from tests.producer.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.testbed.broker import Broker


@pytest.fixture
def settings(valkey: Broker, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with an empty broker, for this process and for those it starts."""
    monkeypatch.setenv("JOBFERRY_BROKER", valkey.url)
    return Settings(broker=valkey.url)


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    """A client of an empty broker; submissions of this process use the same broker."""
    with Client(settings) as client:
        yield client


@pytest.fixture
def stage(client: Client) -> Stage:
    """A worker played by the test."""
    return Stage(client.ledger)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the inputs of two tasks."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / "work" / name).mkdir(parents=True)
        (tmp_path / "work" / name / "in").write_text(f"input of {name}\n")
    return tmp_path


@pytest.fixture
def beside() -> Iterator[Callable[[Callable[[], object]], None]]:
    """Run something in a thread beside the test; what it raises fails the test."""
    threads: list[threading.Thread] = []
    errors: list[BaseException] = []

    def start(act: Callable[[], object]) -> None:
        def run() -> None:
            try:
                act()
            except BaseException as error:  # noqa: BLE001 - it is raised at the end
                errors.append(error)

        threads.append(threading.Thread(target=run))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join(60)
    assert errors == []
