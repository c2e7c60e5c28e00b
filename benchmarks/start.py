"""What it takes to start: whole processes, in turn, 20 of each in a round, of which the median is taken.

The floor is `python -c pass` of the same environment. `import jobferry` loads a name when it is first used, so what a
program needs that describes work stands beside it: `from jobferry import Machine, Resources, Submission, Task`.
DPDispatcher comes from PyPI into an environment of its own. Beside the time that a clock on the wall shows stands the
processor's.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks import world
from benchmarks.figure import Figure, Goal, Log, Section
from benchmarks.peer import install

if TYPE_CHECKING:
    from collections.abc import Mapping

_STARTS: Final = 20
_NAMES: Final = "Machine, Resources, Submission, Task"
#: what → most seconds
_GOALS: Final = {"import jobferry": 0.35, "jobferry --help": 0.3}


def measure(rounds: int, starts: int) -> Section:
    """Measure all in turn."""
    log = Log()
    with world.directory() as path:
        programs = _programs(install(path))
        for _ in range(rounds):
            _round(path, programs, starts or _STARTS, log)
    return Section(
        title="Start",
        command=f"python -m benchmarks.run --only start --rounds {rounds}",
        about=(__doc__ or "").strip(),
        figures=_figures(programs, log),
        raws=tuple(log.raws),
    )


def _programs(peer: Path) -> Mapping[str, tuple[str, ...]]:
    python = sys.executable
    return {
        "python -c pass": (python, "-c", "pass"),
        "import jobferry": (python, "-c", "import jobferry"),
        "from jobferry import …": (python, "-c", f"from jobferry import {_NAMES}"),
        "jobferry --help": (str(Path(python).with_name("jobferry")), "--help"),
        "from dpdispatcher import …": (str(peer), "-c", f"from dpdispatcher import {_NAMES}"),
        "dpdisp --help": (str(peer.with_name("dpdisp")), "--help"),
    }


def _round(path: Path, programs: Mapping[str, tuple[str, ...]], starts: int, log: Log) -> None:
    spent: dict[str, list[tuple[float, float]]] = {what: [] for what in programs}
    for number in range(starts + 1):
        for what, argv in programs.items():
            seconds = _start(argv, path)
            if number:  # the first reads the disk
                spent[what].append(seconds)
    for what, pairs in spent.items():
        elapsed, processor = zip(*pairs, strict=True)
        log.note(what, statistics.median(elapsed), "s")
        log.note(f"{what}: processor", statistics.median(processor), "s")


def _start(argv: tuple[str, ...], directory: Path) -> tuple[float, float]:
    """Return the seconds of a process from start to end, and the processor's; it may leave files behind."""
    begin = time.perf_counter()
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, cwd=directory)
    _, status, used = os.wait4(process.pid, 0)
    elapsed = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{argv[0]} {argv[-1]}: exit code {process.returncode}")
    return elapsed, used.ru_utime + used.ru_stime


def _figures(programs: Mapping[str, tuple[str, ...]], log: Log) -> tuple[Figure, ...]:
    found = []
    for what in programs:
        bound = _GOALS.get(what)
        for name in (what, f"{what}: processor"):
            goal = None if bound is None else Goal(bound=bound, unit="s")
            why = "the processor's time keeps the goal; the rest is waiting for a busy machine."
            found.append(
                Figure(name=name, goal=goal, values=log.of(name), unit="s", why=why if goal else "")
            )
    return tuple(found)
