"""The time of a pass, while ever more jobs of a run are finished.

A real ledger, and a simulated cluster that has 100 of 10,000 jobs at a time; compared are the medians of the first and
of the last quarter of the passes. Files of jobs that ended long ago are taken from the simulated cluster, because its
directories, other than real ones, take longer to list the more files there are anywhere.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Final

from benchmarks import world
from benchmarks.figure import Figure, Goal, Log, Section
from tests.simulation.bench import Bench
from tests.simulation.fakes import ALPHA
from tests.simulation.world import World
from tests.testbed.broker import Broker

if TYPE_CHECKING:
    from pathlib import Path

_JOBS: Final = 10_000
_AT_A_TIME: Final = 100
_STEP_SECONDS: Final = 5.0
_RECENT_FILES: Final = 3000
_OF_A_JOB: Final = ("/claim/", "/records/", "/jobs/", "/commands/", "/done/")


def measure(rounds: int, jobs: int) -> Section:
    """Measure each pass of a run."""
    jobs = jobs or _JOBS
    log = Log()
    with world.directory() as path:
        for number in range(rounds):
            _run(path / f"p{number}", jobs, log)
    growth = Figure(
        name="last quarter : first quarter",
        goal=Goal(bound=1.2, unit="×"),
        values=log.ratio("a pass of the last quarter", "a pass of the first quarter"),
    )
    return Section(
        title="A pass does not grow with what is finished",
        command=f"python -m benchmarks.run --only passes --rounds {rounds}",
        about=(__doc__ or "").split("\n", 2)[2].strip(),
        figures=(growth,),
        raws=tuple(log.raws),
    )


def _run(path: Path, jobs: int, log: Log) -> None:
    with Broker(path) as broker:
        bench = Bench(
            broker.client(), World(slots=_AT_A_TIME, longest=10.0), max_queued_jobs=_AT_A_TIME
        )
        bench.accept(jobs=jobs)
        times = []
        while bench.ledger.open_runs(ALPHA):
            bench.world.tick(_STEP_SECONDS)
            _forget_old(bench.world.files)
            begin = time.perf_counter()
            bench.advance()
            times.append(1000 * (time.perf_counter() - begin))
    quarter = len(times) // 4
    log.note("a pass of the first quarter", statistics.median(times[:quarter]), "ms")
    log.note("a pass of the last quarter", statistics.median(times[-quarter:]), "ms")


def _forget_old(files: dict[str, bytes]) -> None:
    for path in list(files)[:-_RECENT_FILES]:
        if any(part in path for part in _OF_A_JOB):
            del files[path]
