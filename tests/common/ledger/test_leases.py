"""Leases of accounts, and fences over a restart of the broker."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from jobferry_common.errors import BrokerUnreachable, LeaseLost
from jobferry_common.ledger import Ledger
from jobferry_common.states import JobState, RunState
from tests.common.ledger.documents import (
    ACCOUNT,
    ALPHA,
    MINUTE,
    change_to,
    document,
    fence_of,
    reserve,
)
from tests.testbed.broker import Broker, redis_binary

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis

    from jobferry_common.ledger.records import Fence


def test_one_holds_an_account(ledger: Ledger) -> None:
    fence = ledger.acquire(ACCOUNT, "one", MINUTE)
    assert fence is not None
    assert ledger.acquire(ACCOUNT, "other", MINUTE) is None
    assert ledger.acquire("bob@there", "other", MINUTE) is not None
    lease = ledger.lease(ACCOUNT)
    assert lease is not None
    assert (lease.holder, lease.fence) == ("one", fence)
    assert 0 < lease.left_seconds <= 60


def test_a_released_account_is_free_and_its_fence_stale(ledger: Ledger) -> None:
    first = fence_of(ledger)
    assert ledger.release(ACCOUNT, first)
    assert ledger.lease(ACCOUNT) is None
    second = ledger.acquire(ACCOUNT, "next", MINUTE)
    assert second is not None
    assert second.number > first.number
    assert not ledger.renew(ACCOUNT, first, MINUTE)
    assert not ledger.release(ACCOUNT, first)
    assert ledger.renew(ACCOUNT, second, MINUTE)


def test_a_lease_ends_by_itself(ledger: Ledger) -> None:
    fence = ledger.acquire(ACCOUNT, "slow", timedelta(milliseconds=1))
    assert fence is not None
    run = ledger.accept(document()).run
    while ledger.lease(ACCOUNT) is not None:
        pass
    change = change_to(ledger, run, 0, JobState.CANCELLED)
    with pytest.raises(LeaseLost, match="Nothing was written"):
        ledger.change(run, [change], fence=fence)
    assert ledger.job(run, 0).state is JobState.PENDING
    assert not ledger.renew(ACCOUNT, fence, MINUTE)


def test_a_dead_holder_can_be_displaced_but_only_that_one(ledger: Ledger) -> None:
    dead = fence_of(ledger)
    heir = ledger.acquire(ACCOUNT, "heir", MINUTE, displace=dead)
    assert heir is not None
    assert ledger.acquire(ACCOUNT, "late heir", MINUTE, displace=dead) is None


def test_of_racing_workers_one_gets_the_account(valkey: Broker) -> None:
    found: list[Fence | None] = []
    ready = threading.Barrier(4)

    def race() -> None:
        own = Ledger(valkey.client())
        ready.wait()
        found.append(own.acquire(ACCOUNT, "racer", MINUTE))
        own.redis.close()

    threads = [threading.Thread(target=race) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(fence is not None for fence in found) == 1


def test_an_account_is_remembered_with_its_broker(ledger: Ledger) -> None:
    assert ledger.remembered(ACCOUNT) is None
    ledger.remember(ACCOUNT, broker=ledger.broker())
    assert ledger.remembered(ACCOUNT) == fence_of(ledger).broker


def test_the_ledger_has_one_id(ledger: Ledger, redis: Redis) -> None:
    assert ledger.id == Ledger(redis).id
    assert ledger.id != Ledger(redis, "other:").id


@pytest.mark.parametrize(
    "kind", ["valkey", pytest.param("redis", marks=pytest.mark.needs("redis"))]
)
def test_a_restarted_broker_refuses_every_old_fence(short_path: Path, kind: str) -> None:
    binary = redis_binary() if kind == "redis" else None
    with Broker(short_path / "b", binary=binary) as broker:
        ledger = Ledger(broker.client())
        run = ledger.accept(document()).run
        assert reserve(ledger, run, [0])
        old = fence_of(ledger)
        change = change_to(ledger, run, 0, JobState.QUEUED)
        broker.restart()
        assert ledger.lease(ACCOUNT) is not None
        with pytest.raises(LeaseLost):
            ledger.change(run, [change], fence=old)
        with pytest.raises(LeaseLost):
            ledger.change_run(run, state=RunState.FAILED, fence=old)
        assert not ledger.renew(ACCOUNT, old, MINUTE)
        new = ledger.acquire(ACCOUNT, "after", MINUTE)
        assert new is not None
        assert new.broker != old.broker
        assert ledger.change(run, [change], fence=new) == [True]
        ledger.redis.close()


def test_what_was_accepted_survives_a_killed_broker(short_path: Path) -> None:
    with Broker(short_path / "b") as broker:
        ledger = Ledger(broker.client())
        runs = [ledger.accept(document(i)).run for i in range(20)]
        assert reserve(ledger, runs[3], [1])
        broker.restart()
        assert sorted(run.id for run in ledger.runs()) == sorted(runs)
        assert [one.key.job for one in ledger.flight(ALPHA)] == [1]
        ledger.redis.close()


def test_a_stopped_broker_is_told_and_leaves_nothing_half_written(short_path: Path) -> None:
    with Broker(short_path / "b") as broker:
        ledger = Ledger(broker.client())
        known = ledger.accept(document(1)).run
        broker.kill()
        with pytest.raises(BrokerUnreachable, match=r"b\.sock does not answer.*JOBFERRY_BROKER"):
            ledger.accept(document(2))
        with pytest.raises(BrokerUnreachable):
            ledger.accept_many([document(3)])
        broker.start()
        assert [run.id for run in ledger.runs()] == [known]
        assert ledger.accept(document(2)).run == "000000000002-1"
        ledger.redis.close()
