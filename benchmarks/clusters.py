"""200 jobs of one second: two clusters with 8 slots each, against one of them.

Each round measures, one after the other, on new but equal files, from submit until all results are back:

- one: the submission names one cluster, whose queue takes all jobs at once;
- two: it names both; each has a worker process of its own, and claims jobs as it has room.

Both clusters are plain shells: all of it (workers, broker, jobs) shares this machine's processors, and starting a job
on one more Slurm would cost more of them than the job.
"""

from __future__ import annotations

import shutil
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from benchmarks import world
from benchmarks.figure import Figure, Goal, Log, Section
from benchmarks.work import COMMAND, all_came
from jobferry import Resources, Submission, Task

if TYPE_CHECKING:
    from pathlib import Path

    from tests.testbed.fleet import Fleet

_JOBS: Final = 200
_SLOTS: Final = 8
_NAMES: Final = ("one", "two")


def measure(rounds: int, jobs: int) -> Section:
    """Measure both in turn."""
    jobs = jobs or _JOBS
    log = Log()
    with world.directory() as path:
        for number in range(rounds):
            _round(path / f"r{number}", jobs, log)
    return Section(
        title=f"{jobs} jobs of one second on two clusters",
        command=f"python -m benchmarks.run --only clusters --rounds {rounds}",
        about=(__doc__ or "").split("\n", 2)[2].strip(),
        figures=_figures(log),
        raws=tuple(log.raws),
    )


def _round(path: Path, jobs: int, log: Log) -> None:
    clusters = {name: _profile(path, name) for name in _NAMES}
    world.wait_for_quiet()
    with world.fleet(path, clusters, worker=False) as fleet:
        for name in _NAMES:
            fleet.start_worker_of(name)
        _carry_out(path / "warm up", fleet, list(_NAMES), 2 * _SLOTS)
        log.note("one", _carry_out(path / "alone", fleet, _NAMES[0], jobs), "s")
        log.note("two", _carry_out(path / "shared", fleet, list(_NAMES), jobs), "s")
    shutil.rmtree(path)


def _profile(path: Path, name: str) -> dict[str, Any]:
    root = path / f"root of {name}"
    root.mkdir(parents=True)
    profile = {"batch_type": "Shell", "context_type": "Local", "remote_root": str(root)}
    return {**profile, "max_running_jobs": _SLOTS}


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
            why="the workers and the jobs of both clusters share the processors of this one machine.",
        ),
    )
