"""Marks of bulk data moves: one message, one mover."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobferry_common import messages
from jobferry_common.names import RunId
from jobferry_common.settings import Settings
from jobferry_worker.moves import Moves
from jobferry_worker.reconcile.lease import holder

if TYPE_CHECKING:
    from redis import Redis

RUN = RunId("5e7-1")
STAGE = messages.STAGE


def test_one_message_waits_however_often_it_is_asked_for(redis: Redis) -> None:
    moves = Moves(redis, Settings(), "a:1")
    assert moves.ask(STAGE, "alpha", RUN)
    assert not any(moves.ask(STAGE, "alpha", RUN) for _ in range(10))
    assert messages.waiting(redis, Settings(), "jobferry.alpha.data") == 1


def test_only_one_process_moves_a_run(redis: Redis) -> None:
    one, other = (Moves(redis, Settings(), who) for who in ("a:1", "b:2"))
    assert one.begin(STAGE, RUN)
    assert not other.begin(STAGE, RUN)
    assert not other.ask(STAGE, "alpha", RUN)
    one.end(STAGE, RUN)
    assert other.begin(STAGE, RUN)


def test_a_move_that_failed_rests(redis: Redis) -> None:
    moves = Moves(redis, Settings(), "a:1")
    moves.begin(STAGE, RUN)
    moves.end(STAGE, RUN, rest_seconds=60)
    assert not moves.begin(STAGE, RUN)
    (mark,) = redis.keys("*moving*")
    assert 0 < redis.ttl(mark) <= 60
    assert not messages.is_moving(redis, Settings(), STAGE, RUN)


def test_a_move_under_way_is_seen(redis: Redis) -> None:
    moves = Moves(redis, Settings(), "a:1")
    moves.begin(STAGE, RUN)
    assert messages.is_moving(redis, Settings(), STAGE, RUN)
    moves.end(STAGE, RUN)
    assert not messages.is_moving(redis, Settings(), STAGE, RUN)


def test_the_marks_of_a_dead_process_go_away_and_those_of_a_live_one_stay(redis: Redis) -> None:
    moves = Moves(redis, Settings(), "a:1")
    moves.begin(STAGE, RUN)
    (mark,) = redis.keys("*moving*")
    assert 0 < redis.ttl(mark) <= 60
    redis.expire(mark, 5)
    moves.renew()
    assert redis.ttl(mark) > 5


def test_the_move_of_a_dead_process_of_this_machine_is_taken_over_at_once(redis: Redis) -> None:
    host, pid, _, machine, _ = holder().split(":")
    dead = Moves(redis, Settings(), f"{host}:{pid}:1:{machine}:0")
    moves = Moves(redis, Settings(), holder())
    assert dead.begin(STAGE, RUN)
    assert moves.ask(STAGE, "alpha", RUN)
    assert moves.begin(STAGE, RUN)
