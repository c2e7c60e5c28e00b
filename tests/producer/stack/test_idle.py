"""Who needs a stack: runs, clients, and results that are on their way."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from jobferry.stack.home import Home
from jobferry.stack.idle import Idle
from jobferry_common.ledger import Ledger
from jobferry_common.messages import COLLECT, RESTING, STACK_CLIENT, client_key, moving_key
from jobferry_common.settings import Settings, Stack
from jobferry_common.states import ResultsState, RunState
from tests.common.ledger.documents import ALPHA, document, finish
from tests.testbed.broker import Broker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from redis import Redis

    from jobferry_common.names import RunId

SETTINGS = Settings(stack=Stack(idle_minutes=0.0001))
WEEK = 7 * 24 * 3600.0


@pytest.fixture
def home(short_path: Path) -> Home:
    return Home(directory=short_path, socket=short_path / "b.sock")


@pytest.fixture
def redis(home: Home) -> Iterator[Redis]:
    """A broker as the stack has it; this connection counts as one of the stack's own."""
    with Broker(home.directory, password=home.password(), appendonly=False) as broker:
        client = broker.client()
        client.connection_pool.reset()
        client.connection_pool.connection_kwargs["client_name"] = STACK_CLIENT
        yield client
        client.close()


@pytest.fixture
def idle(home: Home, redis: Redis) -> Idle:
    assert redis.ping()
    return Idle(SETTINGS, home)


def ended_run(redis: Redis, *, ago: float) -> RunId:
    """A run that ended some seconds ago, and whose results are on the cluster."""
    ledger = Ledger(redis, clock=lambda: time.time() - ago)
    ledger.announce(ALPHA, account="a", batch_type="Shell", context_type="Local", worker="w")
    run = ledger.accept(document(tasks=1)).run
    finish(ledger, run, 0)
    ledger.change_run(run, state=RunState.FINISHED)
    return run


def is_over(idle: Idle) -> bool:
    time.sleep(0.02)  # longer than it may be idle
    return idle.is_over()


def test_nobody_needs_an_empty_stack(idle: Idle) -> None:
    assert is_over(idle)


def test_a_client_that_came_is_told_once(idle: Idle, redis: Redis) -> None:
    redis.set(client_key(SETTINGS), os.getpid())
    assert not is_over(idle)
    assert is_over(idle)


def test_results_that_were_not_brought_need_it(idle: Idle, redis: Redis) -> None:
    run = ended_run(redis, ago=3600.0)
    assert not is_over(idle)
    Ledger(redis).change_run(run, results=ResultsState.DELIVERED)
    Ledger(redis).collected(run, [0])
    assert is_over(idle)


def test_results_that_cannot_be_brought_do_not_hold_it_for_ever(idle: Idle, redis: Redis) -> None:
    run = ended_run(redis, ago=WEEK)
    redis.set(moving_key(SETTINGS, COLLECT, run), RESTING)
    assert is_over(idle)


def test_a_move_under_way_needs_it_however_old_its_run_is(idle: Idle, redis: Redis) -> None:
    run = ended_run(redis, ago=WEEK)
    redis.set(moving_key(SETTINGS, COLLECT, run), "host:1:2:3:4")
    assert not is_over(idle)
    redis.delete(moving_key(SETTINGS, COLLECT, run))
    assert is_over(idle)
