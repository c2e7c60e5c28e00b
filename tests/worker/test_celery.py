"""The Celery application: settings that hold on Redis, and queues."""

from __future__ import annotations

import pytest

from jobferry_common import messages
from jobferry_common.errors import BadInput
from jobferry_common.models.cluster import ClusterProfile
from jobferry_common.settings import Settings
from jobferry_worker import celery

ALPHA = ClusterProfile(
    batch_type="Shell", context_type="Local", local_root="/work", remote_root="/scratch"
)


def settings(
    broker: str = "redis://:secret@host:6379/3", *, serve_inline: bool = False
) -> Settings:
    return Settings(broker=broker, clusters={"alpha": ALPHA}, serve_inline=serve_inline)


def test_the_visibility_timeout_is_the_same_in_all_three_places() -> None:
    conf = celery.make_app(settings()).conf
    places = (
        conf.broker_transport_options["visibility_timeout"],
        conf.result_backend_transport_options["visibility_timeout"],
        conf.visibility_timeout,
    )
    assert set(places) == {settings().timings.visibility_seconds}
    assert places[0] >= 60


def test_nothing_depends_on_a_result_or_on_prefetched_messages() -> None:
    conf = celery.make_app(settings()).conf
    assert conf.task_ignore_result
    assert conf.result_backend is None
    assert conf.task_acks_late
    assert conf.worker_prefetch_multiplier == 1
    assert conf.worker_disable_prefetch
    assert conf.accept_content == ["json"]
    assert conf.task_send_sent_event
    assert conf.worker_send_task_events
    assert conf.worker_soft_shutdown_timeout > 0
    assert conf.broker_transport_options["global_keyprefix"] == "jobferry:mq:"
    assert conf.broker_transport_options["health_check_interval"]
    assert conf.broker_transport_options["socket_keepalive"]
    assert conf.broker_transport_options["socket_timeout"]


def test_every_task_is_known_by_its_name() -> None:
    app = celery.make_app(settings())
    own = {name for name in app.tasks if not name.startswith("celery.")}
    assert own == set(messages.TASKS)


def test_the_queues_of_the_settings_are_known_to_flower() -> None:
    conf = celery.make_app(settings(serve_inline=True)).conf
    assert [queue.name for queue in conf.task_queues] == [
        "jobferry.alpha",
        "jobferry.inline",
        "jobferry.alpha.data",
        "jobferry.inline.data",
    ]


@pytest.mark.parametrize(
    ("task", "queue"),
    [("jobferry.advance", "jobferry.alpha"), ("jobferry.stage", "jobferry.alpha.data")],
)
def test_a_task_goes_to_the_queue_of_the_cluster_that_it_names(task: str, queue: str) -> None:
    app = celery.make_app(settings())
    assert app.amqp.router.route({}, task, args=("alpha", "5e7-1"))["queue"].name == queue


@pytest.mark.parametrize(
    ("broker", "transport", "options"),
    [
        ("redis://:secret@host:6379/3", "redis", {}),
        ("redis+socket:///run/b.sock?virtual_host=2", "redis", {}),
        ("rediss://host:6380/0", "rediss", {}),
        ("sentinel://:secret@one:1,two:2/main", "sentinel", {"master_name": "main"}),
    ],
)
def test_each_kind_of_broker_is_translated_for_kombu(
    broker: str, transport: str, options: dict[str, str]
) -> None:
    app = celery.make_app(settings(broker))
    with app.connection_for_read() as connection:
        assert connection.transport_cls == transport
        assert options.items() <= (connection.transport_options or {}).items()


def test_a_password_reaches_the_broker_and_no_message() -> None:
    app = celery.make_app(settings("redis://:p%40ss%2Fword@host:6379/3"))
    with app.connection_for_read() as connection:
        assert connection.password == "p@ss/word"
        assert "word" not in connection.as_uri()


def test_without_a_broker_it_says_what_to_set() -> None:
    with pytest.raises(BadInput, match=r"config\.toml: broker: no broker is set.*JOBFERRY_BROKER"):
        celery.make_app(Settings())
