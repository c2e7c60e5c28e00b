"""Ticks: fast while there is work, slow without, and never a second one while one waits."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from jobferry_common import messages
from jobferry_common.models.cluster import ClusterProfile
from jobferry_common.settings import Settings, Timings
from jobferry_worker.beat import TickScheduler
from jobferry_worker.celery import make_app
from jobferry_worker.service import Service

if TYPE_CHECKING:
    from redis import Redis

    from tests.testbed.broker import Broker

ALPHA = ClusterProfile(
    batch_type="Shell", context_type="Local", local_root="/work", remote_root="/scratch"
)
QUEUE = "jobferry.alpha"


def beat(valkey: Broker, redis: Redis, **timings: float) -> TickScheduler:
    settings = Settings(broker=valkey.url, clusters={"alpha": ALPHA}, timings=Timings(**timings))
    return TickScheduler(make_app(settings), serving=Service(settings, redis))


def ticks(redis: Redis, queue: str = QUEUE) -> int:
    return messages.waiting(redis, Settings(), queue)


def take(redis: Redis) -> str:
    """Take a message as a worker would, and return its cluster."""
    text = redis.rpop(messages.queue_key(Settings(), QUEUE))
    return str(json.loads(str(text))["headers"]["argsrepr"])


def test_a_worker_away_for_a_day_finds_one_tick(valkey: Broker, redis: Redis) -> None:
    day = 86400 / 10_000
    scheduler = beat(valkey, redis, tick_busy_seconds=0.0001, tick_idle_seconds=0.001)
    end = time.monotonic() + day
    while time.monotonic() < end:
        time.sleep(min(0.0005, scheduler.tick()))
    assert ticks(redis) == 1
    assert take(redis) == "('alpha',)"


def test_ticks_follow_the_rhythm_of_the_cluster(valkey: Broker, redis: Redis) -> None:
    now = [100.0]
    settings = Settings(broker=valkey.url, clusters={"alpha": ALPHA})
    scheduler = TickScheduler(
        make_app(settings), serving=Service(settings, redis), clock=lambda: now[0]
    )

    def sent_within(seconds: int) -> int:
        sent = 0
        for _ in range(seconds):
            now[0] += 1
            redis.delete(*(f"jobferry:tick:{QUEUE}:{pace}" for pace in ("busy", "idle")))
            scheduler.tick()
            while ticks(redis):
                take(redis)
                sent += 1
        return sent

    assert sent_within(40) == pytest.approx(4, abs=1)
    redis.zadd("jobferry:open:alpha", {"5e7-1": 1})
    assert sent_within(20) == 20


def test_work_that_comes_after_an_idle_tick_is_ticked_at_once(valkey: Broker, redis: Redis) -> None:
    scheduler = beat(valkey, redis, tick_busy_seconds=0.001, tick_idle_seconds=60)
    scheduler.tick()
    take(redis)
    redis.zadd("jobferry:open:alpha", {"5e7-1": 1})
    time.sleep(0.01)
    scheduler.tick()
    assert ticks(redis) == 1


def test_two_beats_tick_as_one(valkey: Broker, redis: Redis) -> None:
    first, second = (beat(valkey, redis, tick_idle_seconds=60) for _ in range(2))
    first.tick()
    assert ticks(redis) == 1
    take(redis)
    second.tick()
    assert ticks(redis) == 0


def test_inline_machines_are_ticked_only_while_they_have_work(valkey: Broker, redis: Redis) -> None:
    scheduler = beat(valkey, redis, tick_busy_seconds=0.001, tick_idle_seconds=0.001)
    scheduler.tick()
    assert ticks(redis, messages.INLINE_QUEUE) == 0
    redis.zadd("jobferry:open:inline-0123456789", {"5e7-1": 1})
    redis.hset("jobferry:waiting", "inline-0123456789", 1)
    time.sleep(0.01)
    scheduler.tick()
    assert ticks(redis, messages.INLINE_QUEUE) == 1


def test_inline_machines_are_ticked_while_results_of_ended_runs_are_missing(
    valkey: Broker, redis: Redis
) -> None:
    scheduler = beat(valkey, redis)
    redis.hset("jobferry:waiting", "inline-0123456789", 0)
    redis.sadd("jobferry:collect:inline-0123456789", "5e7-1")
    scheduler.tick()
    assert ticks(redis, messages.INLINE_QUEUE) == 1


def test_a_beat_gives_a_sign_of_life(valkey: Broker, redis: Redis) -> None:
    beat(valkey, redis).tick()
    assert messages.alive(redis, messages.beat_key(Settings()))


def test_without_a_broker_beat_goes_on(
    valkey: Broker, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler = beat(valkey, redis)
    valkey.stop()
    try:
        assert scheduler.tick() > 0
        assert "No ticks" in caplog.text
    finally:
        valkey.start()
