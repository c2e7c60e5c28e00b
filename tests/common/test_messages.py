"""Queues, and messages that any Celery worker reads."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from jobferry_common import messages
from jobferry_common.settings import Settings

if TYPE_CHECKING:
    from redis import Redis


@pytest.mark.parametrize(
    ("cluster", "queue"),
    [
        ("hpc1", "jobferry.hpc1"),
        ("inline-0123456789", "jobferry.inline"),
        (messages.INLINE, "jobferry.inline"),
    ],
)
def test_each_cluster_has_a_queue_and_a_data_queue(cluster: str, queue: str) -> None:
    assert messages.queue_of(cluster) == queue
    assert messages.data_queue_of(cluster) == f"{queue}.data"


def test_tasks_that_move_files_belong_on_the_data_queue() -> None:
    assert messages.queue_for(messages.ADVANCE, "a") == "jobferry.a"
    assert messages.queue_for(messages.STAGE, "a") == "jobferry.a.data"
    assert messages.queue_for(messages.COLLECT, "a") == "jobferry.a.data"


@pytest.mark.parametrize(
    ("queue", "cluster"),
    [
        ("jobferry.a.b", "a.b"),
        ("jobferry.a.data", "a"),
        ("jobferry.inline", None),
        ("jobferry.inline.data", None),
        ("celery", None),
    ],
)
def test_a_queue_tells_its_cluster(queue: str, cluster: str | None) -> None:
    assert messages.cluster_of(queue) == cluster


def test_a_message_has_the_shape_of_celerys_protocol() -> None:
    parsed = json.loads(messages.message(messages.STAGE, ["a", "5e7-1"], "jobferry.a.data"))
    assert parsed["headers"]["task"] == "jobferry.stage"
    assert parsed["headers"]["id"] == parsed["properties"]["correlation_id"]
    assert parsed["headers"]["eta"] is None
    args, kwargs, _ = json.loads(base64.b64decode(parsed["body"]))
    assert (args, kwargs) == (["a", "5e7-1"], {})
    # without an exchange kombu gives a message of a dead worker back to the queue of its routing key
    assert parsed["properties"]["delivery_info"] == {
        "exchange": "",
        "routing_key": "jobferry.a.data",
    }


def test_many_submissions_leave_one_hint(redis: Redis) -> None:
    settings = Settings()
    for _ in range(100):
        messages.hint(redis, settings, ["a", "b", "a"])
    assert messages.waiting(redis, settings, "jobferry.a") == 1
    assert messages.waiting(redis, settings, "jobferry.b") == 1


def test_inline_machines_share_a_queue_and_get_a_hint_each(redis: Redis) -> None:
    settings = Settings()
    messages.hint(redis, settings, ["inline-1", "inline-2"])
    assert messages.waiting(redis, settings, "jobferry.inline") == 2


def test_a_worker_is_known_while_it_gives_signs_of_life(redis: Redis) -> None:
    settings = Settings()
    assert messages.worker_of(redis, settings, "a") is None
    messages.mark_alive(redis, messages.worker_key(settings, "jobferry.a"), "login1:7")
    assert messages.worker_of(redis, settings, "a") == "login1:7"
    assert 0 < redis.ttl(messages.worker_key(settings, "jobferry.a")) <= 30
