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
from typing import TYPE_CHECKING, Final

from jobferry_common import messages
from jobferry_common.errors import UnknownId
from jobferry_common.names import RunId
from jobferry_worker import checkup, service

if TYPE_CHECKING:
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


def register(app: Celery) -> None:
    """Make the tasks known to an application under their names."""
    app.task(name=messages.ADVANCE)(advance)
    app.task(name=messages.STAGE)(stage)
    app.task(name=messages.COLLECT)(collect)
    app.task(name=messages.CLEAN)(clean)
    app.task(name=messages.CANCEL)(cancel)
    app.task(name=messages.TEST_CLUSTER)(test_cluster)
