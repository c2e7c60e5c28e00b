"""Work for tests: tasks with one input and one output file each, that write down every start.

work = Work(tmp_path, ["cat in > out", "exit 3"])
handle = work.submission(cluster="alpha").submit()
handle.wait(60)
assert work.outputs() == ["input 0\\n", None]
assert work.starts() == [1, 4]
"""

from __future__ import annotations

import shlex
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from jobferry import Resources, Submission, Task
from tests.testbed.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jobferry import Handle
    from jobferry_common.states import JobState

COPY: Final = "cat in > out"
#: how long a run may take on a loaded machine, in seconds
PATIENCE: Final = 120.0


def until(handle: Handle, state: JobState, number: int) -> None:
    """Wait until so many jobs of a run are in a state."""
    wait_until(
        lambda: handle.status().counts.get(state, 0) == number,
        f"{number} jobs are {state}",
        limit=PATIENCE,
    )


class Work:
    """A work base with a directory for each command; `Work.submission` describes it."""

    def __init__(self, directory: Path, commands: Sequence[str], *, name: str = "work") -> None:
        self.base = directory / name
        self.commands = tuple(commands)
        #: every task appends its number here when it starts, wherever it runs
        self.log = directory / f"{name}.starts"
        for number in range(len(commands)):
            task = self.base / f"t{number}"
            task.mkdir(parents=True)
            (task / "in").write_text(f"input {number}\n")

    def task(self, number: int) -> Task:
        """Return one task."""
        mark = f"echo {number} >>{shlex.quote(str(self.log))}"
        return Task(
            command=f"{mark}; {self.commands[number]}",
            task_work_path=f"t{number}",
            forward_files=("in",),
            backward_files=("out",),
        )

    def submission(
        self, *, group_size: int = 1, queue: str = "main", **keywords: Any
    ) -> Submission:
        """Return the submission of all tasks; `keywords` are Submission's."""
        resources = Resources(
            group_size=group_size, queue_name=queue, **keywords.pop("resources", {})
        )
        tasks = [self.task(number) for number in range(len(self.commands))]
        return Submission(
            work_base=str(self.base), resources=resources, task_list=tasks, **keywords
        )

    def starts(self) -> list[int]:
        """Return how often each task started."""
        text = self.log.read_text() if self.log.exists() else ""
        count = Counter(text.split())
        return [count[str(number)] for number in range(len(self.commands))]

    def outputs(self) -> list[str | None]:
        """Return what came back of each task; None where nothing did."""
        paths = [self.base / f"t{number}" / "out" for number in range(len(self.commands))]
        return [path.read_text() if path.exists() else None for path in paths]

    def everything_came_back(self) -> bool:
        """Return whether each output is the input: only for tasks that copy."""
        return self.outputs() == [f"input {number}\n" for number in range(len(self.commands))]
