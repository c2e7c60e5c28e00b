"""The Celery tasks: few, short, and named for Flower.

    jobferry.advance hpc1            one pass over a cluster ("inline": over every inline machine)
    jobferry.stage hpc1 RUN          bring a run's files to its cluster
    jobferry.collect hpc1 RUN        fetch what its ended jobs left
    jobferry.clean hpc1 RUN          remove a run's files from its cluster
    jobferry.cancel hpc1 RUN         wish a run's end, and look at once
    jobferry.test_cluster hpc1 T     walk the whole path with a trivial job

Each may come twice, late or never.
"""

from __future__ import annotations

import logging
from functools import cache, wraps
from typing import TYPE_CHECKING, Any, Final

from jobferry_common import messages
from jobferry_common.errors import NewerVersion, UnknownId
from jobferry_common.names import RunId
from jobferry_common.versions import known
from jobferry_worker import checkup, service

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery

logger: Final = logging.getLogger(__name__)


def advance(cluster: str) -> None:
    """Make one pass over a cluster."""
    service.current().took(cluster)
    if cluster == messages.INLINE:
        service.current().wake(messages.INLINE_QUEUE)
    else:
        service.current().look(cluster)


def stage(cluster: str, run: str) -> None:
    """Bring a run's files to its cluster, and ask for the pass that submits its jobs."""
    serving = service.current()
    if _moved(messages.STAGE, cluster, run):
        messages.hint(serving.redis, serving.settings, [cluster])


def collect(cluster: str, run: str) -> None:
    """Fetch what a run's ended jobs left."""
    _moved(messages.COLLECT, cluster, run)


def clean(cluster: str, run: str) -> None:
    """Remove a run's files from its cluster."""
    _moved(messages.CLEAN, cluster, run)


def _moved(task: str, cluster: str, run: str) -> bool:
    """Move a run's files; False when somebody else is at it, it failed, or the run was cleaned meanwhile."""
    serving = service.current()
    try:
        return serving.of(cluster).move_quietly(task, RunId(run))
    except UnknownId as error:
        if serving.ledger.was_removed(RunId(run)):
            logger.info("%s came too late: %s", task, error, extra={"action": "late"})
            return False
        raise


def cancel(cluster: str, run: str) -> None:
    """Wish a run's end, and look at once."""
    serving = service.current()
    serving.ledger.wish_cancel(RunId(run))
    serving.look(cluster)


def test_cluster(cluster: str, ticket: str) -> None:
    """Walk the whole path of a cluster with a trivial job; what was found is left at the broker."""
    checkup.walk(service.current(), cluster, ticket)


@cache
def _of_known_version(work: Callable[[str, str], None] | Callable[[str], None]) -> Any:  # noqa: ANN401
    """Do the work of a message, unless a newer jobferry sent it: that one is set aside as it is."""

    @wraps(work)
    def careful(task: Any, *args: str) -> None:  # noqa: ANN401 - Celery's
        version = task.request.get(messages.VERSION_HEADER)
        try:
            known(f"a message {task.name} {' '.join(args)}", version)
        except NewerVersion as error:
            queue = messages.queue_for(task.name, args[0])
            text = messages.message(task.name, args, queue, version=version)
            service.current().ledger.keep_message(queue, text, str(error))
            return
        work(*args)

    return careful


def register(app: Celery) -> None:
    """Make the tasks known to an application under their names."""
    app.task(name=messages.ADVANCE, bind=True)(_of_known_version(advance))
    app.task(name=messages.STAGE, bind=True)(_of_known_version(stage))
    app.task(name=messages.COLLECT, bind=True)(_of_known_version(collect))
    app.task(name=messages.CLEAN, bind=True)(_of_known_version(clean))
    app.task(name=messages.CANCEL, bind=True)(_of_known_version(cancel))
    app.task(name=messages.TEST_CLUSTER, bind=True)(_of_known_version(test_cluster))
