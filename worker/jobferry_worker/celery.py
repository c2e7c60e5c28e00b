"""The Celery application, so that Celery's own commands work.

    celery -A jobferry_worker worker -Q jobferry.hpc1 -P threads
    celery -A jobferry_worker beat
    celery -A jobferry_worker flower

`app` is made from the settings when somebody asks for it, not when this module is imported.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from celery import Celery
from kombu import Exchange, Queue
from kombu.utils.objects import cached_property

from jobferry_common.broker_url import BrokerUrl
from jobferry_common.errors import BadInput, JobferryError, Problem
from jobferry_common.messages import (
    INLINE_QUEUE,
    TASKS,
    client_name,
    data_queue,
    key_prefix,
    queue_for,
    queue_of,
)
from jobferry_common.settings import config_path, load_settings
from jobferry_worker import tasks
from jobferry_worker.border import leave
from jobferry_worker.mending import mend

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobferry_common.settings import Settings

_NO_BROKER: Final = (
    "no broker is set; expected a URL such as redis://host:6379/0 here or in JOBFERRY_BROKER "
    "(`jobferry up` starts a broker with a worker of its own and needs none of this)"
)


class Jobferry(Celery):
    """Celery with our worker, which serves bulk data on threads of its own."""

    @cached_property
    def Worker(self) -> Any:  # noqa: ANN401, N802 - Celery's name
        """The worker program."""
        program: Any = "jobferry_worker.program:Worker"
        return self.subclass_with_self(program)


def make_app(settings: Settings) -> Jobferry:
    """Return the application for these settings."""
    if settings.broker is None:
        raise BadInput([Problem(f"{config_path()}: broker", _NO_BROKER)])
    app = Jobferry("jobferry_worker", set_as_current=False)
    app.conf.update(celery_settings(settings))
    mend()
    tasks.register(app)
    app.steps["worker"].add("jobferry_worker.program:Rounds")
    app.steps["consumer"].add("jobferry_worker.program:DataLane")
    return app


def celery_settings(settings: Settings) -> dict[str, Any]:
    """Return Celery's configuration."""
    address = BrokerUrl.parse(settings.broker or "")
    visibility = settings.timings.visibility_seconds
    names = queues_of(settings)
    return {
        "broker_url": address.celery_url(),
        "broker_transport_options": {
            **address.celery_options(),
            **_TRANSPORT,
            "client_name": client_name(),
            "global_keyprefix": key_prefix(settings),
            "visibility_timeout": visibility,
        },
        # Celery looks for the visibility timeout in three places; they have to agree.
        "result_backend_transport_options": {"visibility_timeout": visibility},
        "visibility_timeout": visibility,
        "worker_soft_shutdown_timeout": settings.timings.soft_stop_seconds,
        "worker_concurrency": settings.threads,
        "task_queues": [Queue(name, Exchange(""), routing_key=name) for name in names],
        "task_default_queue": names[0],
        **_FIXED,
    }


def queues_of(settings: Settings) -> list[str]:
    """Return the queues of a worker that is told of none, passes before bulk data."""
    passes = [queue_of(name) for name in settings.clusters]
    if settings.serve_inline or not passes:
        passes.append(INLINE_QUEUE)
    return [*passes, *map(data_queue, passes)]


def route(name: str, args: Sequence[Any], *_: object, **__: object) -> dict[str, str] | None:
    """Send each task to the queue of the cluster that its first argument names."""
    return {"queue": queue_for(name, str(args[0]))} if name in TASKS and args else None


_TRANSPORT: Final = {
    "socket_timeout": 30.0,
    "socket_connect_timeout": 10.0,
    "socket_keepalive": True,
    "health_check_interval": 25,
    "retry_on_timeout": True,
    # What a killed worker held comes back at most this many seconds after its visibility timeout.
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
}

_FIXED: Final = {
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "accept_content": ["json"],
    "task_serializer": "json",
    "result_serializer": "json",
    "result_backend": None,
    "task_ignore_result": True,
    "task_acks_late": True,
    "task_retry_on_worker_lost": True,
    "task_routes": (route,),
    "task_track_started": True,
    "task_send_sent_event": True,
    "worker_send_task_events": True,
    "worker_pool": "threads",
    "worker_prefetch_multiplier": 1,
    "worker_disable_prefetch": True,
    "worker_detect_quorum_queues": False,
    "worker_redirect_stdouts": False,
    "control_queue_ttl": 60,
    "control_queue_expires": 60,
    "beat_scheduler": "jobferry_worker.beat:TickScheduler",
    "enable_utc": True,
}


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name == "app":
        return _app()
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


@cache
def _app() -> Jobferry:
    try:
        app = make_app(load_settings())
    except JobferryError as error:
        leave(error)
    app.set_default()
    return app
