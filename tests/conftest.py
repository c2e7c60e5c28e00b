"""Fixtures that every layer of the tests uses."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobferry_common.depot.depot import Depot, forget_depots, open_depot
from jobferry_common.depot.settings import DepotSettings
from jobferry_common.ledger import Ledger
from tests.testbed.broker import Broker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

pytest.register_assert_rewrite("tests.conformance.suite")


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[Broker]:
    """One Valkey for the whole session; a directory of its own, because a socket's path must be short."""
    with (
        tempfile.TemporaryDirectory(prefix="jf-") as directory,
        Broker(Path(directory), appendonly=False) as broker,
    ):
        yield broker


@pytest.fixture
def valkey(valkey_server: Broker) -> Iterator[Broker]:
    """The session's Valkey, empty: `valkey.url`, `valkey.client()`."""
    client = valkey_server.client()
    client.flushall()
    yield valkey_server
    client.close()


@pytest.fixture
def redis(valkey: Broker) -> Iterator[Redis]:
    """A client of the session's Valkey, which is empty."""
    client = valkey.client()
    yield client
    client.close()


@pytest.fixture
def ledger(redis: Redis) -> Ledger:
    """An empty ledger."""
    return Ledger(redis)


@pytest.fixture
def depot(tmp_path: Path, ledger: Ledger) -> Iterator[Depot]:
    """A depot in a folder."""
    (tmp_path / "depot").mkdir()
    found = open_depot(DepotSettings(url=str(tmp_path / "depot")), ledger)
    assert found is not None
    yield found
    forget_depots()


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A temporary directory whose name is short enough for a socket in it."""
    with tempfile.TemporaryDirectory(prefix="jf-") as directory:
        yield Path(directory)


@pytest.fixture
def ssh_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty ~/.ssh, and no agent of whoever runs the tests."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    directory = home / ".ssh"
    directory.mkdir(mode=0o700)
    return directory
