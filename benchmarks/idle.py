"""A worker that has nothing to do, beside a Slurm without jobs: one minute, once its start is over."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import psutil

from benchmarks import world
from benchmarks.figure import Figure, Goal, Log, Section

if TYPE_CHECKING:
    from pathlib import Path

    from tests.testbed.slurm import SlurmCluster

_SECONDS: Final = 60
_START_SECONDS: Final = 15.0
_MEGABYTE: Final = 1024 * 1024


def measure(rounds: int, seconds: int) -> Section:
    """Measure the share of a core, the memory, and the commands."""
    log = Log()
    with world.directory() as path, world.slurm() as slurm:
        for number in range(rounds):
            _round(path / str(number), slurm, seconds or _SECONDS, log)
    return Section(
        title="An idle worker",
        command=f"python -m benchmarks.run --only idle --rounds {rounds}",
        about=(__doc__ or "").strip(),
        figures=(
            Figure(
                name="processor", goal=Goal(bound=1, unit="% of a core"), values=log.of("share")
            ),
            Figure(name="memory", goal=Goal(bound=120, unit="MB"), values=log.of("memory")),
            Figure(
                name="scheduler commands", goal=Goal(bound=0, unit=""), values=log.of("commands")
            ),
        ),
        raws=tuple(log.raws),
    )


def _round(path: Path, slurm: SlurmCluster, seconds: int, log: Log) -> None:
    profile = {"batch_type": "Slurm", "context_type": "LazyLocal", "local_root": str(path)}
    with world.fleet(path, {"bench": profile}, env=slurm.env()) as fleet:
        time.sleep(_START_SECONDS)
        worker = psutil.Process(fleet.worker.pid)
        slurm.wrappers.forget()
        before = worker.cpu_times()
        time.sleep(seconds)
        after = worker.cpu_times()
        spent = after.user + after.system - before.user - before.system
        log.note("share", 100 * spent / seconds, "% of a core")
        log.note("memory", worker.memory_info().rss / _MEGABYTE, "MB")
        log.note("commands", len(slurm.wrappers.every_call()), "")
