"""500 one-task jobs on Slurm: jobferry and DPDispatcher 1.1.0, in turn, on equal commands and files.

DPDispatcher comes from PyPI into an environment of its own, and works with its LocalContext and check_interval=1.
jobferry uses the Local context. All else is as each has it by default: both start their scripts with a login shell, and
both clean up. They are timed from the call that submits until all results are back, DPDispatcher until that call
returns. Beside them stands an array of nothing but the commands: what Slurm itself needs for so many jobs. At the end
the scheduler commands of each are counted, in a run whose time does not count.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks import world
from benchmarks.dispatch import naked
from benchmarks.figure import Figure, Goal, Log, Section
from benchmarks.work import all_came, copies

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.testbed.slurm import SlurmCluster

_JOBS: Final = 500
PEER: Final = "dpdispatcher==1.1.0"


def measure(rounds: int, jobs: int) -> Section:
    """Measure both in turn."""
    jobs = jobs or _JOBS
    log = Log()
    with world.directory() as path, world.slurm() as slurm:
        python = install(path)
        for number in range(rounds):
            slurm.reset()
            world.wait_for_quiet()
            log.note(
                "jobferry", copies(path / f"ours{number}", slurm, jobs, as_usual=True).seconds, "s"
            )
            log.note("DPDispatcher", theirs(path / f"theirs{number}", slurm, jobs, python), "s")
            log.note("naked array", naked(path / f"naked{number}", slurm, jobs), "s")
            shutil.rmtree(path / f"naked{number}")
        _count(path / "counted", slurm, jobs, python, log)
    return Section(
        title="Against DPDispatcher",
        command=f"python -m benchmarks.run --only peer --rounds {rounds}",
        about=(__doc__ or "").split("\n", 2)[2].strip(),
        figures=_figures(log),
        raws=tuple(log.raws),
    )


def _count(path: Path, slurm: SlurmCluster, jobs: int, python: Path, log: Log) -> None:
    slurm.reset()
    done = copies(path / "ours", slurm, jobs, as_usual=True)
    log.note("commands of jobferry", len(done.calls), "a run")
    slurm.wrappers.forget()
    theirs(path / "theirs", slurm, jobs, python, wrapped=True)
    log.note("commands of DPDispatcher", len(slurm.wrappers.every_call()), "a run")


def _figures(log: Log) -> tuple[Figure, ...]:
    return (
        Figure(
            name="DPDispatcher : jobferry",
            goal=Goal(bound=8, unit="×", at_least=True),
            values=log.ratio("DPDispatcher", "jobferry"),
            why="here Slurm itself is what takes the time: starting and ending the jobs fills both processors, so "
            "jobferry cannot be quicker than the naked array, and DPDispatcher's commands hide behind jobs that end "
            "while it still submits others. What remains to be compared is the time beyond the naked array, and the "
            "commands.",
        ),
        Figure(
            name="jobferry : naked array",
            values=log.ratio("jobferry", "naked array"),
            unit="×",
        ),
        Figure(
            name="DPDispatcher : naked array",
            values=log.ratio("DPDispatcher", "naked array"),
            unit="×",
        ),
        Figure(
            name="scheduler commands, DPDispatcher : jobferry",
            values=log.ratio("commands of DPDispatcher", "commands of jobferry"),
            unit="×",
        ),
    )


def install(path: Path) -> Path:
    """Return the Python of a new environment with DPDispatcher."""
    print(f"  installing {PEER} into an environment of its own", flush=True)
    subprocess.run([sys.executable, "-m", "venv", str(path / "peer")], check=True)
    python = path / "peer/bin/python"
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", PEER], check=True)
    return python


def theirs(
    path: Path,
    slurm: SlurmCluster,
    jobs: int,
    python: Path,
    *,
    wrapped: bool = False,
    machine: Mapping[str, Any] | None = None,
) -> float:
    """Return the seconds that DPDispatcher takes; `machine`: more of its machine, such as another context."""
    base = world.work(path / "work", jobs)
    (path / "remote").mkdir()
    plain = {**os.environ, "SLURM_CONF": str(slurm.directory / "slurm.conf")}
    env = {**(slurm.env() if wrapped else plain), "HOME": str(path)}
    script = Path(__file__).with_name("peer_script.py")
    given = {
        "context_type": "LocalContext",
        "local_root": str(path),
        "remote_root": str(path / "remote"),
        **(machine or {}),
    }
    where = json.dumps({"machine": given, "jobs": jobs})
    argv = [str(python), str(script), where]
    done = subprocess.run(argv, env=env, cwd=path, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{PEER}: {done.stderr[-2000:]}")
    all_came(base, "*/out", jobs)
    shutil.rmtree(path)
    return float(done.stdout.splitlines()[-1])
