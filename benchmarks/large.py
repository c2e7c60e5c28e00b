"""One submission of 100,000 tasks with a 1 kB input each, in jobs of 100 tasks, on Slurm through the Local context.

The worker's memory is read each second: while it brings the files, submits, and reads the first exit records, up to the
run's end or three minutes, whichever comes first; then the run is cancelled. It is measured once.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import psutil

from benchmarks import world
from benchmarks.figure import Figure, Goal, Log, Section
from jobferry import Resources, Submission, Task
from jobferry_common.states import JobState

if TYPE_CHECKING:
    from pathlib import Path

    from jobferry import Handle
    from tests.testbed.fleet import Fleet

_TASKS: Final = 100_000
_GROUP: Final = 100
_SECONDS: Final = 180.0
_MEGABYTE: Final = 1024 * 1024


def measure(rounds: int, tasks: int) -> Section:
    """Measure the accept, then the worker's memory."""
    del rounds
    tasks = tasks or _TASKS
    log = Log()
    with world.directory() as path, world.slurm() as slurm:
        base = world.work(path / "work", tasks, "x" * 1000)
        (path / "remote").mkdir()
        profile = {
            "batch_type": "Slurm",
            "context_type": "Local",
            "remote_root": str(path / "remote"),
            "login_shell": False,
        }
        with world.fleet(path, {"bench": profile}, env=slurm.env()) as fleet:
            _measure(fleet, base, tasks, log)
            slurm.reset()
    return Section(
        title=f"A submission of {tasks:,} tasks",
        command="python -m benchmarks.run --only large",
        about=(__doc__ or "").split("\n", 2)[2].strip(),
        figures=_figures(log),
        raws=tuple(log.raws),
    )


def _measure(fleet: Fleet, base: Path, tasks: int, log: Log) -> None:
    submission = _submission(base, tasks)
    begin = time.perf_counter()
    handle = fleet.submit(submission)
    log.note("accept", time.perf_counter() - begin, "s")
    log.note("worker's memory", _peak(fleet, handle) / _MEGABYTE, "MB")
    counts = handle.status().counts
    ended = sum(counts.get(state, 0) for state in (JobState.EXITED, JobState.FINISHED))
    log.note("jobs that ended meanwhile", ended, f"of {tasks // _GROUP:,}")
    handle.cancel()


def _submission(base: Path, number: int) -> Submission:
    tasks = [
        Task(command="true", task_work_path=f"t{index}", forward_files=("in",))
        for index in range(number)
    ]
    resources = Resources(group_size=_GROUP, queue_name="main")
    return Submission(str(base), cluster="bench", resources=resources, task_list=tasks)


def _peak(fleet: Fleet, handle: Handle) -> float:
    worker = psutil.Process(fleet.worker.pid)
    end = time.monotonic() + _SECONDS
    most = 0
    while time.monotonic() < end and not handle.status().state.is_final:
        most = max(most, worker.memory_info().rss)
        time.sleep(1)
    return float(most)


def _figures(log: Log) -> tuple[Figure, ...]:
    return (
        Figure(name="accept", goal=Goal(bound=30, unit="s"), values=log.of("accept")),
        Figure(
            name="worker's memory at most",
            goal=Goal(bound=300, unit="MB"),
            values=log.of("worker's memory"),
        ),
    )
