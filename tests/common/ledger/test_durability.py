"""Waiting until a server cannot forget."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.ledger import Ledger
from jobferry_common.ledger.durability import Habits, habits_of
from tests.common.ledger.documents import document
from tests.testbed.broker import Broker

if TYPE_CHECKING:
    from pathlib import Path

VALKEY = {"valkey_version": "8.0.1", "redis_version": "7.2.4"}


@pytest.mark.parametrize(
    ("info", "settings", "disk", "replicas"),
    [
        (VALKEY, {"appendonly": "yes", "appendfsync": "everysec"}, True, False),
        (VALKEY, {"appendonly": "yes", "appendfsync": "always"}, False, False),
        (VALKEY, {"appendonly": "no", "appendfsync": "everysec"}, False, False),
        ({"redis_version": "7.0.15"}, {"appendonly": "yes"}, False, False),
        ({"redis_version": "7.2.0", "aof_enabled": 1}, {}, True, False),
        ({"redis_version": "6.2.1", "connected_slaves": 2}, {}, False, True),
    ],
)
def test_what_is_waited_for(
    info: dict[str, Any], settings: dict[str, str], disk: bool, replicas: bool
) -> None:
    habits = habits_of(info, settings, asked=0.0)
    assert (habits.disk, habits.replicas) == (disk, replicas)


@pytest.mark.parametrize("fsync", ["everysec", "always"])
def test_a_settled_write_survives_a_kill(short_path: Path, fsync: str) -> None:
    with Broker(short_path / "b", fsync=fsync) as broker:
        ledger = Ledger(broker.client())
        run = ledger.accept(document()).run
        broker.restart()
        assert ledger.run(run).jobs == 3
        ledger.redis.close()


def test_an_unsettled_write_is_warned_of(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert ledger.settle()
    ledger._habits = Habits(disk=True, replicas=False, asked=time.monotonic())
    monkeypatch.setattr(Ledger, "batch", lambda *_, **__: [True, [0, 0]])
    with caplog.at_level(logging.WARNING):
        assert not ledger.settle()
    assert "has not confirmed a write" in caplog.text
