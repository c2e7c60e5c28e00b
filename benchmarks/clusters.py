"""200 jobs of one second: two Slurm clusters with 8 slots each, against one of them.

Each round measures, one after the other, on new but equal files, from submit until all results are back:

- one: the submission names one cluster, whose queue takes all jobs at once;
- two: it names both; each has a worker process of its own, and claims jobs as it has room.

All of it (two schedulers, their nodes, two workers, the broker, the jobs) shares this machine's processors.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks import world
from benchmarks.figure import Figure, Goal, Log, Section
from benchmarks.work import COMMAND, all_came
from jobferry import Resources, Submission, Task
from tests.testbed.slurm import SlurmCluster

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.testbed.fleet import Fleet

_JOBS: Final = 200
_SLOTS: Final = 8
_NAMES: Final = ("one", "two")


def measure(rounds: int, jobs: int) -> Section:
    """Measure both in turn."""
    jobs = jobs or _JOBS
    log = Log()
    with world.directory() as path, ExitStack() as stack:
        slurms = {name: stack.enter_context(_slurm(name)) for name in _NAMES}
        for number in range(rounds):
            _round(path / f"r{number}", slurms, jobs, log)
    return Section(
        title=f"{jobs} jobs of one second on two clusters",
        command=f"python -m benchmarks.run --only clusters --rounds {rounds}",
        about=(__doc__ or "").split("\n", 2)[2].strip(),
        figures=_figures(log),
        raws=tuple(log.raws),
    )


def _slurm(name: str) -> SlurmCluster:
    directory = Path(tempfile.mkdtemp(prefix=f"slurm-{name}-"))
    return SlurmCluster(directory, name, nodes=1, cpus=_SLOTS)


def _round(path: Path, slurms: Mapping[str, SlurmCluster], jobs: int, log: Log) -> None:
    for slurm in slurms.values():
        slurm.reset()
    clusters = {name: _profile(path, name) for name in slurms}
    world.wait_for_quiet()
    with world.fleet(path, clusters, worker=False) as fleet:
        for name, slurm in slurms.items():
            fleet.start_worker_of(name, slurm.env())
        _carry_out(path / "warm up", fleet, list(_NAMES), 16)
        log.note("one", _carry_out(path / "alone", fleet, _NAMES[0], jobs), "s")
        log.note("two", _carry_out(path / "shared", fleet, list(_NAMES), jobs), "s")
    shutil.rmtree(path)


def _profile(path: Path, name: str) -> dict[str, Any]:
    root = path / f"root of {name}"
    root.mkdir(parents=True)
    profile = {"batch_type": "Slurm", "context_type": "Local", "remote_root": str(root)}
    return {**profile, "login_shell": False, "max_running_jobs": _SLOTS}


def _carry_out(path: Path, fleet: Fleet, cluster: str | list[str], jobs: int) -> float:
    base = world.work(path, jobs)
    tasks = [
        Task(
            command=f"sleep 1; {COMMAND}",
            task_work_path=f"t{index}",
            forward_files=("in",),
            backward_files=("out",),
        )
        for index in range(jobs)
    ]
    resources = Resources(group_size=1, queue_name="main")
    submission = Submission(str(base), cluster=cluster, resources=resources, task_list=tasks)
    begin = time.perf_counter()
    handle = fleet.submit(submission)
    result = handle.result()
    took = time.perf_counter() - begin
    if not result.ok:
        sys.exit(f"the run failed: {result}")
    all_came(base, "*/out", jobs)
    spread = fleet.client.ledger.by_cluster(handle.id)
    print(f"  { ({name: sum(counts.values()) for name, counts in spread.items()}) }", flush=True)
    return took


def _figures(log: Log) -> tuple[Figure, ...]:
    return (
        Figure(
            name="two clusters : one",
            goal=Goal(bound=0.55, unit="×"),
            values=log.ratio("two", "one"),
            why="two schedulers and two workers share the processors of this one machine.",
        ),
    )
