"""From a script to a submission: each task runs the script, in each directory that its `task_work_path` means.

    submission = load_script("fit.py")
    [task.command for task in submission.task_list]       ['python ../fit.py', 'python ../fit.py']

The script itself is a common file: it has to lie below the work base.
"""

from __future__ import annotations

import os
import posixpath
from pathlib import Path
from typing import TYPE_CHECKING

from jobferry.submission import Submission
from jobferry_common.errors import BadInput, Problem
from jobferry_common.globbing import is_pattern, matches
from jobferry_common.models.script import read_script
from jobferry_common.models.submission import Submission as Model
from jobferry_common.models.task import Task
from jobferry_common.scripts.quoting import word

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobferry_common.models.script import Script, ScriptTask


def load_script(path: str | Path, *, allow_ref: bool = False) -> Submission:
    """Return the submission that a script describes in its metadata.

    Args:
        path: the script.
        allow_ref: resolve `{"$ref": "machine.toml"}`, of files below the script's directory.

    Raises:
        BadInput: with every fault.
    """
    file = Path(os.path.expanduser(path))  # noqa: PTH111 - that of Path raises
    script = read_script(file, allow_ref=allow_ref)
    base = _base(script)
    name = _below(file, base)
    tasks = [
        _task(task, where, name)
        for number, task in enumerate(script.task_list)
        for where in _directories(base, task, f"{file.name}: task_list[{number}].task_work_path")
    ]
    fields = {key: getattr(script, key) for key in Model.model_fields}
    common = (*script.forward_common_files, name)
    return Submission(**{**fields, "task_list": tasks, "forward_common_files": common})


def _base(script: Script) -> str:
    """Return the directory of the tasks; without a machine that of the settings counts, as it does for files."""
    root = script.machine.local_root if script.machine else None
    parts = (os.path.expanduser(part) for part in (root or ".", script.work_base))  # noqa: PTH111
    return os.path.realpath(os.path.join(*parts))  # noqa: PTH118


def _below(file: Path, base: str) -> str:
    """Return the script's path relative to the work base.

    Raises:
        BadInput: it does not lie there, so that it could not travel with the tasks.
    """
    name = os.path.relpath(file.parent.resolve() / file.name, base)
    if Path(name).parts[:1] != (os.pardir,):
        return name
    what = f"lies outside of its work base {base}; expected it below, or a work_base above it"
    raise BadInput([Problem(str(file), what)])


def _directories(base: str, task: ScriptTask, where: str) -> list[str]:
    """Return the directories that a task's path means, in order.

    Raises:
        BadInput: a pattern means none.
    """
    path = task.task_work_path
    if not is_pattern(path) or os.path.isdir(os.path.join(base, path)):  # noqa: PTH112, PTH118
        return [path]
    found = list(_found(base, path))
    if not found:
        what = f"{path!r} means no directory below {base}"
        raise BadInput([Problem(where, what)])
    return found


def _found(base: str, pattern: str) -> Iterator[str]:
    for name in sorted(matches(base, pattern)):
        if os.path.isdir(os.path.join(base, name)):  # noqa: PTH112, PTH118
            yield name


def _task(task: ScriptTask, where: str, script: str) -> Task:
    way = posixpath.relpath(script, posixpath.normpath(where))
    fields = {key: getattr(task, key) for key in Task.model_fields}
    command = f"{task.command} {word(way)}"
    return Task(**{**fields, "command": command, "task_work_path": where})
