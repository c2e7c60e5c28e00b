"""Tasks that an earlier run did: this run has their success marks from the start, so that its jobs pass over them.

    write_marks(ledger, cluster.host, header, layout, renew)

Their results are at the producer. Where the worker sees that one of them has gone there, the task is done again.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jobferry_common import globbing
from jobferry_common.files import NewFile
from jobferry_common.killpoints import kill_here

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobferry_common.document import Header, TaskSpec
    from jobferry_common.ledger import Ledger
    from jobferry_common.scripts.layout import Layout
    from jobferry_worker.hosts.base import Host

logger: Final = logging.getLogger(__name__)

_PAGE: Final = 1000


def write_marks(
    ledger: Ledger, host: Host, header: Header, layout: Layout, renew: Callable[[], None]
) -> None:
    """Write the success marks of the tasks that a run took over, as its jobs' script writes them.

    Raises:
        StagingError: one cannot be written.
    """
    found = ledger.all_taken_tasks(layout.run)
    wanted = sorted(task for tasks in found.values() for task in tasks)
    now = f"{time.time():.6f}"
    for start in range(0, len(wanted), _PAGE):
        renew()
        specs = ledger.tasks(layout.run, wanted[start : start + _PAGE])
        there = {task: all_back(header, spec) for task, spec in specs.items()}
        if gone := [task for task, is_there in there.items() if not is_there]:
            ledger.give_back(layout.run, gone)
            msg = "%d tasks of %s are done again: their results are no longer in %s."
            logger.warning(
                msg, len(gone), layout.run, header.source, extra={"action": "given-back"}
            )
        marks = [layout.done(task) for task, is_there in there.items() if is_there]
        host.write(NewFile(path=mark, content=f"{now} {now}\n".encode()) for mark in marks)
    kill_here("after-marks")


def all_back(header: Header, task: TaskSpec) -> bool:
    """Tell whether the producer has a task's results, as far as this machine sees its directory."""
    return all(is_back(header, task.path, pattern) for pattern in task.backward)


def is_back(header: Header, path: str, pattern: str) -> bool:
    """Tell whether the producer has what a pattern stands for; True where its directory cannot be seen."""
    source = Path(header.source)
    return not source.is_dir() or bool(globbing.matches(str(source / path), pattern))
