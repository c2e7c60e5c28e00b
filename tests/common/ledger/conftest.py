"""The ledger's tests run on both servers: the scripts must mean the same to Redis as to Valkey."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.testbed.broker import Broker

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(
    scope="session", params=["valkey", pytest.param("redis", marks=pytest.mark.needs("redis"))]
)
def valkey_server(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """One server of each kind for the whole session."""
    binary = shutil.which("redis-server") if request.param == "redis" else None
    with (
        tempfile.TemporaryDirectory(prefix="jf-") as directory,
        Broker(Path(directory), binary=binary, appendonly=False) as broker,
    ):
        yield broker
