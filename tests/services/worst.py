"""Clusters of all kinds for the worst days, work that a test lets go on, and brokers that lose what they had.

work = Gated(tmp_path, 8)
work.open(0, 1)                # these two may end
lose_everything(fleet, "new process")
"""

from __future__ import annotations

import shlex
import shutil
from collections import Counter
from typing import TYPE_CHECKING, Any

from jobferry import Resources, Submission, Task

if TYPE_CHECKING:
    from pathlib import Path

    from tests.testbed.fleet import Fleet


class Gated:
    """Tasks that wait until they are let go, and log each start and each end where only the test knows."""

    def __init__(self, directory: Path, tasks: int, *, name: str = "gated") -> None:
        self.base = directory / name
        self.gates = directory / f"{name}.gates"
        self.log = directory / f"{name}.log"
        self.gates.mkdir()
        self.tasks = tasks
        for number in range(tasks):
            place = self.base / f"t{number}"
            place.mkdir(parents=True)
            (place / "in").write_text(f"input {number} of {name}\n")

    def submission(self, cluster: str) -> Submission:
        """Return it; a job of Slurm takes a whole node."""
        return Submission(
            work_base=str(self.base),
            resources=Resources(group_size=1, cpu_per_node=8, queue_name="main"),
            task_list=[self._task(number) for number in range(self.tasks)],
            cluster=cluster,
        )

    def _task(self, number: int) -> Task:
        log, gate = shlex.quote(str(self.log)), shlex.quote(str(self.gates / str(number)))
        wait = f"until [ -e {gate} ]; do sleep 0.2; done"
        return Task(
            command=f"echo start {number} >>{log}; {wait}; cat in > out; echo end {number} >>{log}",
            task_work_path=f"t{number}",
            forward_files=("in",),
            backward_files=("out",),
        )

    def open(self, *numbers: int) -> None:
        """Let tasks end; all of them if none is named."""
        for number in numbers or range(self.tasks):
            (self.gates / str(number)).touch()

    def count(self, word: str) -> list[int]:
        """Return how often each task wrote `start`, or `end`."""
        text = self.log.read_text() if self.log.exists() else ""
        count = Counter(text.splitlines())
        return [count[f"{word} {number}"] for number in range(self.tasks)]

    def results(self) -> list[str]:
        """Return what came back of each task."""
        paths = [self.base / f"t{number}" / "out" for number in range(self.tasks)]
        return [path.read_text() if path.exists() else "" for path in paths]

    def ran_once(self) -> bool:
        """Return whether each task started once, ended once, and its result is back."""
        ones = [1] * self.tasks
        there = [f"input {number} of {self.base.name}\n" for number in range(self.tasks)]
        return (self.count("start"), self.count("end"), self.results()) == (ones, ones, there)


def profile_of(batch: str, context: str, directory: Path, **remote: Any) -> dict[str, Any]:
    """Return the profile of a cluster on which not everything runs at once, and not everything is queued."""
    root = {"local_root" if context == "LazyLocal" else "remote_root": str(directory)}
    if context != "LazyLocal":
        root = {"remote_root": str(directory / "remote")}
    common = {"batch_type": batch, "context_type": context, "commands_per_second": 50.0}
    limits = {"max_queued_jobs": 6} | ({"max_running_jobs": 4} if batch == "Shell" else {})
    return {**common, **limits, **root, **({"remote_profile": remote} if remote else {})}


def lose_everything(fleet: Fleet, how: str) -> None:
    """Have the broker lose all of its data: `flushed`, or as `another` process over an empty disk."""
    if how == "flushed":
        client = fleet.broker.client()
        client.flushall()
        client.close()
        return
    fleet.broker.kill()
    shutil.rmtree(fleet.broker.directory / "appendonlydir")
    fleet.broker.start()


class Copy:
    """A copy of a broker's data, to be put back later."""

    def __init__(self, fleet: Fleet, directory: Path) -> None:
        self._fleet = fleet
        self._copy = directory / "copy of the broker"
        fleet.broker.kill()
        shutil.copytree(fleet.broker.directory / "appendonlydir", self._copy)
        fleet.broker.start()

    def put_back(self) -> None:
        """Start the broker over the copy."""
        there = self._fleet.broker.directory / "appendonlydir"
        self._fleet.broker.kill()
        shutil.rmtree(there)
        shutil.copytree(self._copy, there)
        self._fleet.broker.start()
