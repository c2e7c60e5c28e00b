"""What others put into a queue does not end the worker."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery
from celery.worker.consumer import Consumer
from kombu import Connection

from jobferry_worker.mending import mend

if TYPE_CHECKING:
    from redis import Redis

QUEUE = "garbage"


@pytest.mark.parametrize(
    "garbage",
    ["no json", "[]", "null", "{}", '{"properties": {}}', '{"properties": null}', "\\xff"],
)
def test_what_is_no_message_is_dropped_and_the_next_one_arrives(redis: Redis, garbage: str) -> None:
    mend()
    path = redis.connection_pool.connection_kwargs["path"]
    with Connection(f"redis+socket://{path}") as connection:
        queue = connection.SimpleQueue(QUEUE)
        redis.lpush(QUEUE, garbage)
        queue.put({"after": "it"})
        assert queue.get(timeout=60).payload == {"after": "it"}


@pytest.mark.parametrize("error", [TypeError, ValueError, KeyError, AttributeError])
def test_a_message_with_half_of_its_parts_is_acknowledged(error: type[Exception]) -> None:
    mend()
    settled: list[str] = []
    message: Any = SimpleNamespace(
        headers={"task": "t"}, ack_log_error=lambda *_: settled.append("ack"), reject_log_error=None
    )

    def strategy(*_: object) -> None:
        raise error

    consumer: Any = Consumer.__new__(Consumer)
    consumer.app = Celery()
    consumer.strategies = {"t": strategy}
    consumer.on_task_message = set()
    consumer.connection_errors = ()
    consumer._maximum_prefetch_restored = True
    consumer.create_task_handler()(message)
    assert settled == ["ack"]


def test_a_channel_whose_connection_is_gone_closes_with_a_message_in_its_hand(redis: Redis) -> None:
    """As when the broker is killed and the reconnect is cut off, too: the message comes again by itself."""
    mend()
    path = redis.connection_pool.connection_kwargs["path"]
    connection = Connection(f"redis+socket://{path}")
    queue = connection.SimpleQueue(QUEUE)
    queue.put({"held": "back"})
    queue.get(timeout=60)
    channel: Any = queue.channel
    channel.connection.client = None
    channel.close()
    assert redis.hlen("unacked") == 1
