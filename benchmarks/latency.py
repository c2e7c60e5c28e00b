"""How soon the producer knows: from the end of a task to its event, and the time of one small task.

100 jobs of 0.2 to 3 s, by chance, in one submission. Every task writes down when it ended; the producer notes when the
event arrives that says so. Then single tasks, each from a new Python process, on the embedded stack that is up already:
the time of `run_submission()` alone, with its results back.
"""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from benchmarks import world
from benchmarks.figure import Figure, Goal, Log, Section
from jobferry import Resources, Submission, Task
from jobferry_common.states import JobState
from tests.testbed.fleet import BIN

if TYPE_CHECKING:
    from pathlib import Path

    from tests.testbed.fleet import Fleet

_ENDED: Final = frozenset({JobState.EXITED, JobState.FINISHED, JobState.FAILED})
_JOBS: Final = 100
_SMALL: Final = """\
import sys, time
from jobferry import Machine, Resources, Submission, Task
command, name = sys.argv[1:]
machine = Machine(batch_type="Shell", context_type="LazyLocal", local_root=".")
task = Task(command=command, task_work_path=".")
submission = Submission(name, machine, Resources(group_size=1), task_list=[task])
submission.prepare()
begin = time.perf_counter()
submission.run_submission()
print(time.perf_counter() - begin)
"""


def measure(rounds: int, jobs: int) -> Section:
    """Measure both batch systems, then single tasks on the embedded stack."""
    jobs = jobs or _JOBS
    log = Log()
    with world.directory() as path:
        for number in range(rounds):
            for kind in ("Shell", "Slurm"):
                percentiles(_of_kind(path / f"{kind}{number}", kind, jobs, number), kind, log)
        _single(path, max(rounds, 5), log)
    return Section(
        title="Latency",
        command=f"python -m benchmarks.run --only latency --rounds {rounds}",
        about=(__doc__ or "").split("\n", 2)[2].strip(),
        figures=_figures(log),
        raws=tuple(log.raws),
    )


def _figures(log: Log) -> tuple[Figure, ...]:
    goal = Goal(bound=0.6, unit="s")
    return (
        *(
            Figure(
                name=f"end of a task to its event, {kind}, p95",
                goal=goal,
                values=log.of(f"{kind}, p95"),
            )
            for kind in ("Shell", "Slurm")
        ),
        Figure(
            name="run_submission() of one trivial task",
            goal=Goal(bound=0.5, unit="s"),
            values=log.of("true"),
        ),
        Figure(
            name="run_submission() of a task of 2 s",
            goal=Goal(bound=2.7, unit="s"),
            values=log.of("sleep 2"),
            note="DPDispatcher took 31 s: it looks every 30 s unless told otherwise.",
        ),
    )


def _of_kind(path: Path, kind: str, jobs: int, seed: int) -> list[float]:
    profile: dict[str, Any] = {
        "batch_type": kind,
        "context_type": "LazyLocal",
        "local_root": str(path),
        "login_shell": False,
    }
    if kind == "Shell":
        profile["max_running_jobs"] = 8
        with world.fleet(path, {"bench": profile}) as fleet:
            world.wait_for_quiet()
            return delays(fleet, path, jobs, seed)
    with world.slurm() as slurm, world.fleet(path, {"bench": profile}, env=slurm.env()) as fleet:
        world.wait_for_quiet()
        return delays(fleet, path, jobs, seed)


def percentiles(seconds: list[float], kind: str, log: Log) -> None:
    """Note the median, and what 95 of 100 do not exceed."""
    ordered = sorted(seconds)
    log.note(f"{kind}, p50", ordered[len(ordered) // 2], "s")
    log.note(f"{kind}, p95", ordered[math.ceil(len(ordered) * 0.95) - 1], "s")


def delays(
    fleet: Fleet, path: Path, jobs: int, seed: int, *, back: tuple[str, ...] = ()
) -> list[float]:
    """Return the seconds from the end of each task to its event; `back`: what has to be brought to know the end."""
    base = world.work(path / "work", jobs)
    lengths = random.Random(seed)
    tasks = [
        Task(
            command=f"sleep {lengths.uniform(0.2, 3):.2f}; echo $EPOCHREALTIME > out",
            task_work_path=f"t{index}",
            backward_files=back,
        )
        for index in range(jobs)
    ]
    submission = Submission(
        str(base), cluster="bench", resources=Resources(group_size=1), task_list=tasks
    )
    handle = fleet.submit(submission)
    heard: dict[int, float] = {}
    for event in handle.events():
        if event.kind == "job" and event.job is not None and event.state in _ENDED:
            heard.setdefault(event.job, time.time())
    ledger, run = fleet.ledger(), handle.id
    specs = ledger.tasks(run, range(jobs))
    ended = {job: float((base / specs[job].path / "out").read_text()) for job in range(jobs)}
    return [heard[job] - ended[job] for job in range(jobs)]


def _single(path: Path, rounds: int, log: Log) -> None:
    home = path / "home"
    home.mkdir()
    env = {**os.environ, "HOME": str(home)}
    env.pop("JOBFERRY_CONFIG", None)
    subprocess.run([str(BIN / "jobferry"), "up"], env=env, check=True, capture_output=True)
    try:
        _small(home, env, "true", "warm")
        for number in range(rounds):
            world.wait_for_quiet()
            for command in ("true", "sleep 2"):
                name = f"{command.split()[0]}{number}"
                log.note(command, _small(home, env, command, name), "s")
    finally:
        subprocess.run([str(BIN / "jobferry"), "down"], env=env, check=False, capture_output=True)


def _small(home: Path, env: dict[str, str], command: str, name: str) -> float:
    (home / name).mkdir()
    argv = [sys.executable, "-c", _SMALL, command, name]
    done = subprocess.run(argv, cwd=home, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"run_submission() failed: {done.stdout}{done.stderr}")
    return float(done.stdout.splitlines()[-1])
