"""Work that ends its worker again and again is left alone; work that fails is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobferry_common.settings import Settings, Timings
from jobferry_worker.poison import DEATHS, Poisonous, watched

if TYPE_CHECKING:
    from redis import Redis

WORK = ("jobferry.stage", "alpha", "5e7-1")


def die(redis: Redis) -> None:
    """Leave behind what a process leaves that is killed within `watched`."""
    with pytest.raises(SystemExit), watched(redis, Settings(), WORK):
        (key,) = redis.keys("*tried*")
        left, ttl = redis.get(key), redis.ttl(key)
        raise SystemExit
    redis.set(key, str(left), ex=ttl)


def test_work_that_killed_its_worker_often_is_refused(redis: Redis) -> None:
    for _ in range(DEATHS):
        die(redis)
    with (
        pytest.raises(Poisonous, match=r"jobferry\.stage alpha 5e7-1"),
        watched(redis, Settings(), WORK),
    ):
        pytest.fail("it ran")
    with watched(redis, Settings(), ("jobferry.stage", "alpha", "other-1")):
        pass


def test_the_refusal_ends_by_itself(redis: Redis) -> None:
    for _ in range(DEATHS):
        die(redis)
    (key,) = redis.keys("*tried*")
    assert 0 < redis.ttl(key) <= Settings().timings.poison_seconds


def test_how_long_it_is_left_alone_is_a_setting(redis: Redis) -> None:
    with watched(redis, Settings(timings=Timings(poison_seconds=5)), WORK):
        (key,) = redis.keys("*tried*")
        assert 0 < redis.ttl(key) <= 5


def test_work_that_merely_fails_is_not_poisonous(redis: Redis) -> None:
    for _ in range(2 * DEATHS):
        with pytest.raises(OSError), watched(redis, Settings(), WORK):
            raise OSError
    assert not redis.keys("*tried*")
