"""From a script to a submission: each task runs the script, in each directory that its `task_work_path` means.

    submission = load_script("fit.py")
    [task.command for task in submission.task_list]       ['python ../fit.py', 'python ../fit.py']

The script itself is a common file. One that does not lie below the work base is copied there, as `script_<digest>.py`:
that is where the tasks find it, and equal scripts are one file.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jobferry.prepare import work_base_of, working_directory
from jobferry.submission import Submission
from jobferry.writing import write_whole
from jobferry_common.errors import BadInput, Problem
from jobferry_common.globbing import is_pattern, matches
from jobferry_common.models.script import read_script
from jobferry_common.models.submission import Submission as Model
from jobferry_common.models.task import Task
from jobferry_common.scripts.quoting import word

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jobferry_common.models.cluster import ClusterProfile
    from jobferry_common.models.script import ScriptTask

#: of the digest in the name of a copy
_DIGITS: Final = 12


def load_script(
    path: str | Path,
    *,
    allow_ref: bool = False,
    clusters: Mapping[str, ClusterProfile] | None = None,
    made: list[Path] | None = None,
) -> Submission:
    """Return the submission that a script describes in its metadata.

    Args:
        path: the script.
        allow_ref: resolve `{"$ref": "machine.toml"}`, of files below the script's directory.
        clusters: the profiles that are known here; None reads the settings if a cluster is named.
        made: takes the copy of the script, if one had to be made.

    Raises:
        BadInput: with every fault.
    """
    file = Path(os.path.expanduser(path))  # noqa: PTH111 - that of Path raises
    script = read_script(file, allow_ref=allow_ref)
    known = _profiles() if clusters is None and script.machine is None else clusters or {}
    base = work_base_of(script, working_directory(), known)
    name = _below(file, base) or _copied(file, base, made if made is not None else [])
    tasks = [
        _task(task, where, name)
        for number, task in enumerate(script.task_list)
        for where in _directories(base, task, f"{file.name}: task_list[{number}].task_work_path")
    ]
    fields = {key: getattr(script, key) for key in Model.model_fields}
    common = (*script.forward_common_files, name)
    return Submission(**{**fields, "task_list": tasks, "forward_common_files": common})


def _profiles() -> Mapping[str, ClusterProfile]:
    from jobferry_common.settings import load_settings

    return load_settings().clusters


def _below(file: Path, base: str) -> str:
    """Return the script's path relative to the work base; empty where it lies elsewhere."""
    name = os.path.relpath(file.parent.resolve() / file.name, base)
    return "" if Path(name).parts[:1] == (os.pardir,) else name


def _copied(file: Path, base: str, made: list[Path]) -> str:
    """Copy the script into the work base; return its name there.

    Raises:
        BadInput: it cannot be read, or nothing can be written there.
    """
    try:
        content = file.read_bytes()
        digest = hashlib.sha256(content).hexdigest()[:_DIGITS]
        copy = Path(base, f"script_{digest}{file.suffix}")
        if not (copy.is_file() and copy.read_bytes() == content):
            write_whole(copy, content, mode=0o644)
            made.append(copy)
    except OSError as error:
        what = (
            f"lies outside of its work base {base}, and cannot be copied there ({error.strerror}); expected it below, "
            "or a directory that you may write"
        )
        raise BadInput([Problem(str(file), what)]) from None
    return copy.name


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
