"""A bench: a simulated cluster, a real ledger, and passes whose time a test decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.simulation.bench import Bench

if TYPE_CHECKING:
    from redis import Redis


@pytest.fixture
def bench(redis: Redis) -> Bench:
    """A bench with a world in which nothing goes wrong."""
    return Bench(redis)
