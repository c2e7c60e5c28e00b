"""The border of Celery's commands: what a user has to mend is told in one message, without a traceback.

$ celery -A jobferry_worker worker -Q jobferry.typo
jobferry: …/config.toml: jobferry.typo: there is no table [clusters.typo]; known clusters: hpc1      (exit code 2)
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, NoReturn

from jobferry_common.errors import BadInput, JobferryError, Problem
from jobferry_common.messages import INLINE_QUEUE, cluster_of, data_queue
from jobferry_common.settings import config_path

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobferry_common.settings import Settings

_INLINE: Final = (INLINE_QUEUE, data_queue(INLINE_QUEUE))


def leave(error: JobferryError) -> NoReturn:
    """End the program; Celery would show any other exception with all of its traceback."""
    sys.stderr.write(f"jobferry: {error}\n")
    raise SystemExit(error.exit_code) from None


def check_queues(queues: Iterable[str], settings: Settings) -> None:
    """Refuse queues that a worker with these settings cannot serve: it would take their messages for nothing.

    Raises:
        BadInput: with every such queue.
    """
    problems = [
        Problem(f"{config_path()}: {queue}", what)
        for queue in queues
        if (what := _why_not(queue, settings))
    ]
    if problems:
        raise BadInput(problems)


def _why_not(queue: str, settings: Settings) -> str:
    if queue in _INLINE:
        allowed = settings.serve_inline
        return "" if allowed else "inline machines are not served; `serve_inline = true` allows it"
    name = cluster_of(queue)
    if name is None:
        return "is no queue of a cluster; expected jobferry.NAME"
    if name in settings.clusters:
        return ""
    known = ", ".join(sorted(settings.clusters)) or "none"
    return f"there is no table [clusters.{name}]; known clusters: {known}"
