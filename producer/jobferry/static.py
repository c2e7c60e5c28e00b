"""What makes two submissions the same: the words of their users, and nothing of what the files hold.

    submission_id(static(submission, "alpha", None, template))      '3f2a9c01d5e7'

A project that was moved is the same work: its directory counts as the user wrote it, or in place. Nor is it other work
when jobs that fail are treated otherwise: whoever adds a rule goes on where the last run failed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from jobferry_common.models.paths import inside

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobferry_common.models.submission import Submission
    from jobferry_common.models.task import Task


def static(
    given: Submission, where: object, source: str | None, template: str | None
) -> dict[str, Any]:
    """Return plain values to be hashed.

    Args:
        given: what the user said.
        where: the cluster or clusters, whatever proves who we are there.
        source: the directory of the tasks where they run in place.
        template: the text of the header's template.
    """
    return {
        "cluster": where,
        **({"requires": list(given.requires)} if given.requires else {}),
        "name": given.name,
        "work_base": os.path.normpath(given.work_base),
        "source": source,
        "resources": given.resources.model_dump(mode="json", exclude_defaults=True),
        "template": template,
        "forward_common": given.forward_common_files,
        "backward_common": given.backward_common_files,
        "tasks": [_task(task) for task in given.task_list],
    }


def _task(task: Task) -> Sequence[object]:
    files = (task.forward_files, task.backward_files, task.outlog, task.errlog)
    return (task.command, inside(task.task_work_path), *files, task.task_name)
