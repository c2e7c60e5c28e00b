"""Fixtures of the tests on files that travel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobferry_common.depot.depot import forget_depots
from tests.worker.transfer.apart import Ferry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jobferry_common.ledger import Ledger
    from tests.testbed.broker import Broker


@pytest.fixture
def ferry(ledger: Ledger, tmp_path: Path, valkey: Broker) -> Iterator[Ferry]:
    """A producer and a worker that do not see each other's files, and a depot in a folder between them."""
    world = Ferry(ledger, tmp_path, valkey, forward_common=("common",))
    yield world
    world.client.close()
    forget_depots()
