"""100,000 jobs of one task, each with a submit command of its own: all files of each, in one process, nothing written.

A file of jobferry's is a batch script, the tasks of its job, or their command. DPDispatcher, in an environment of its
own, renders what it would upload of as many equal jobs: a script and what that script sources. Both have their
submission in memory before the clock starts. The seconds are the processor's; beside them stands what a clock on the
wall shows. Arrays are told without a goal: there a thousand jobs have one batch script.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks import world
from benchmarks.figure import Figure, Goal, Log, Section
from benchmarks.peer import PEER, install
from jobferry import Resources, Submission, Task
from jobferry.prepare import prepare
from jobferry_common.names import AttemptKey, run_id, token_of
from jobferry_common.schedulers import scheduler_named
from jobferry_common.scripts.layout import Layout
from jobferry_common.scripts.render import batch_files

if TYPE_CHECKING:
    from jobferry_common.document import Document

_JOBS: Final = 100_000
_OF_AN_ARRAY: Final = 1000
#: of both, equal
RESOURCES: Final = {
    "number_node": 1,
    "cpu_per_node": 4,
    "gpu_per_node": 0,
    "queue_name": "main",
    "group_size": 1,
    "module_list": ["gcc", "openmpi"],
    "envs": {"OMP_NUM_THREADS": 4},
    "prepend_script": ["ulimit -s unlimited"],
}


def measure(rounds: int, jobs: int) -> Section:
    """Measure both in turn."""
    jobs, log = jobs or _JOBS, Log()
    with world.directory() as path:
        python = install(path)
        for _ in range(rounds):
            _ours(path, jobs, log)
            _theirs(python, path, jobs, log)
    return Section(
        title=f"Rendering {jobs:,} job scripts",
        command=f"python -m benchmarks.run --only rendering --rounds {rounds}",
        about=(__doc__ or "").strip(),
        figures=_figures(jobs, log),
        raws=tuple(log.raws),
    )


def _figures(jobs: int, log: Log) -> tuple[Figure, ...]:
    goal = Goal(bound=10 * jobs / _JOBS, unit="s")
    return (
        Figure(name="a script for each job", goal=goal, values=log.of("jobferry")),
        Figure(name="arrays", values=log.of("jobferry, arrays"), unit="s"),
        Figure(
            name="DPDispatcher : jobferry", values=log.ratio("DPDispatcher", "jobferry"), unit="×"
        ),
    )


def _ours(path: Path, jobs: int, log: Log) -> None:
    document = _document(path, jobs)
    for what, size in (("jobferry", 1), ("jobferry, arrays", _OF_AN_ARRAY)):
        gc.collect()
        wall, begin = time.perf_counter(), time.process_time()
        made = _render(document, size)
        log.note(what, time.process_time() - begin, "s")
        log.note(f"{what}, elapsed", time.perf_counter() - wall, "s")
        log.note(f"{what}, rendered", made / 1e6, "MB")


def _document(path: Path, jobs: int) -> Document:
    tasks = [Task(command=f"./relax {number}", task_work_path=".") for number in range(jobs)]
    submission = Submission(
        str(path), cluster="bench", resources=Resources.load_from_dict(RESOURCES), task_list=tasks
    )
    return prepare(submission.model())


def _render(document: Document, size: int) -> int:
    """Render jobs of one task by so many a command; return the bytes."""
    header = document.header
    run = run_id(header.submission, 1)
    layout = Layout.of(header, run, "/scratch/bench", "ledger")
    scheduler = scheduler_named("Slurm", home="/scratch/bench/.jobferry/shell")
    made = 0
    for first in range(0, header.jobs, size):
        attempts = [AttemptKey(job, 1) for job in range(first, min(first + size, header.jobs))]
        tasks = {
            at.job: [(task, document.tasks[task]) for task in header.tasks_of(at.job)]
            for at in attempts
        }
        token = token_of(run, attempts)
        files = batch_files(
            *(layout, header, scheduler, token, attempts, tasks),
            login_shell=True,
            array=size > 1,
        )
        shared = {layout.runtime, layout.environment}
        made += sum(len(file.content) for file in files if file.path not in shared)
    return made


def _theirs(python: Path, path: Path, jobs: int, log: Log) -> None:
    script = Path(__file__).with_name("peer_rendering.py")
    given = json.dumps({"resources": RESOURCES, "jobs": jobs, "root": str(path)})
    done = subprocess.run(
        [str(python), str(script), given], cwd=path, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{PEER}: {done.stderr[-2000:]}")
    told = json.loads(done.stdout.splitlines()[-1])
    log.note("DPDispatcher", told["processor"], "s")
    log.note("DPDispatcher, elapsed", told["elapsed"], "s")
    log.note("DPDispatcher, rendered", told["bytes"] / 1e6, "MB")
