"""What a script says of itself: PEP 723 metadata with a table `[tool.jobferry]`, or `[tool.dpdispatcher]`.

# /// script
# dependencies = ["numpy"]
# [tool.jobferry]
# machine = {batch_type = "Shell", context_type = "LazyLocal", local_root = "."}
# resources.group_size = 1
# [[tool.jobferry.task_list]]
# command = "uv run"
# task_work_path = "case*"
# ///
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydantic import Field

from jobferry_common.errors import BadInput, Problem
from jobferry_common.models import reading
from jobferry_common.models.faults import shown
from jobferry_common.models.submission import Submission
from jobferry_common.models.task import Task
from jobferry_common.models.values import Command, Text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

_OPENING: Final = "# /// script"
_CLOSING: Final = "# ///"
#: whose table it may be
_TOOLS: Final = ("jobferry", "dpdispatcher")


class ScriptTask(Task):
    """One run of the script in each directory that `task_work_path` means."""

    command: Command = "python"  #: what the script is given to; its name is put behind it


if TYPE_CHECKING:
    Tasks = Sequence[ScriptTask]
else:
    Tasks = tuple[ScriptTask, ...]


class Script(Submission):
    """The table of a script: a submission whose tasks all run the script."""

    work_base: Text = "./"  #: the directory of the tasks, below local_root
    task_list: Tasks = Field(description="a list of tasks")


def metadata(text: str) -> str:
    """Return the TOML that stands in a script's comments.

    Raises:
        ValueError: there is none, or more than one.
    """
    lines = _lines(text)
    starts = [number for number, line in enumerate(lines) if line == _OPENING]
    if not starts:
        msg = f"holds no line {_OPENING!r}; expected PEP 723 metadata, with a table [tool.jobferry]"
        raise ValueError(msg)
    block = _block(lines[starts[0] + 1 :])
    if any(start > starts[0] + len(block) for start in starts):
        msg = f"holds the line {_OPENING!r} more than once"
        raise ValueError(msg)
    return "\n".join(line[2:] for line in block)


def _lines(text: str) -> list[str]:
    """Return the lines as PEP 723 has them; `splitlines` cuts at other characters, too."""
    return text.split("\n")


def _block(lines: Sequence[str]) -> list[str]:
    """Return the lines before the last closing one of the comment that they begin with."""
    comment: list[str] = []
    for line in lines:
        if line != "#" and not line.startswith("# "):
            break
        comment.append(line)
    if _CLOSING not in comment:
        msg = f"holds metadata without an end; expected a line {_CLOSING!r} after comments only"
        raise ValueError(msg)
    end = len(comment) - 1 - comment[::-1].index(_CLOSING)
    return comment[:end]


def read_script(path: Path, *, allow_ref: bool = False) -> Script:
    """Return what a script says of itself; its references, where allowed, stay below its directory.

    Raises:
        BadInput: with every fault.
    """
    data = reading.parsed(path, _parsed)
    tool, table = _table(data, path.name)
    label = f"{path.name}: tool.{tool}"
    home = path.resolve().parent
    found = reading.resolved(table, label, allow_ref=allow_ref, directory=home, within=home)
    return Script.built(found, label)


def _parsed(text: str) -> Any:  # noqa: ANN401
    inner = metadata(text)
    above = _lines(text).index(_OPENING) + 1
    return reading.parse_toml("\n" * above + inner)  # so that a fault is told by the script's line


def _table(data: Any, name: str) -> tuple[str, Any]:  # noqa: ANN401
    tools = data.get("tool", {})
    if not isinstance(tools, dict):
        raise BadInput([Problem(f"{name}: tool", f"expected tables, got {shown(tools)}")])
    given = [tool for tool in _TOOLS if tool in tools]
    if len(given) == 1:
        return given[0], tools[given[0]]
    what = (
        "is missing; expected a table [tool.jobferry] in the metadata, or [tool.dpdispatcher]"
        if not given
        else "holds both jobferry and dpdispatcher; expected one of the two"
    )
    raise BadInput([Problem(f"{name}: tool", what)])
