"""jobferry on Slurm, as DPDispatcher beside it: the worker, which drives the work, is killed, and started again.

outcome = measure(directory, slurm, jobs=500, kills=20, seed=7, naps=0.5)
"""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING, Final

from jobferry import Resources, Submission, Task
from jobferry.results import is_settled
from tests.chaos.peers.drive import LEAST_SECONDS, MOST_SECONDS, Driven, Work, counted
from tests.testbed.fleet import BIN, Fleet
from tests.testbed.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.chaos.peers.drive import Outcome
    from tests.testbed.slurm import SlurmCluster

_LIMIT_SECONDS: Final = 900.0


def measure(
    directory: Path, slurm: SlurmCluster, *, jobs: int, kills: int, seed: int, naps: float
) -> Outcome:
    """Run it, and count."""
    work = Work(directory / "jobferry", jobs=jobs, seed=seed, naps=naps)
    profile = {
        "batch_type": "Slurm",
        "context_type": "Local",
        "remote_root": str(work.directory / "remote"),
    }
    fleet = Fleet(work.directory / "fleet", {"peer": profile}, env=slurm.env(), worker=False)
    begin = time.monotonic()
    os.environ["JOBFERRY_CONFIG"] = str(fleet.config)  # the producer is this process
    with fleet:
        argv = [str(BIN / "jobferry"), "worker", "--cluster", "peer"]
        handle = fleet.submit(_submission(work))
        with Driven(argv, env=fleet.env, cwd=work.directory) as worker:
            _kill_often(worker, lambda: is_settled(handle.status()), random.Random(seed), kills)
        seconds, killed = time.monotonic() - begin, worker.kills
    wait_until(lambda: not slurm.queue(), "Slurm is done", limit=_LIMIT_SECONDS)
    return counted("jobferry", work, kills=killed, seconds=seconds)


def _submission(work: Work) -> Submission:
    tasks = [
        Task(command=text, task_work_path=f"t{task}", forward_files=["in"], backward_files=["out"])
        for task, text in enumerate(work.commands())
    ]
    resources = Resources(group_size=1, queue_name="main", cpu_per_node=1)
    return Submission(str(work.base), resources=resources, task_list=tasks, cluster="peer")


def _kill_often(
    worker: Driven, is_over: Callable[[], bool], dice: random.Random, kills: int
) -> None:
    worker.start()
    now = time.monotonic()
    end, kill_at = now + _LIMIT_SECONDS, now + dice.uniform(LEAST_SECONDS, MOST_SECONDS)
    while now < end and not is_over():
        time.sleep(0.2)
        now = time.monotonic()
        if worker.kills < kills and now >= kill_at:
            worker.kill(group=dice.random() < 0.5)
            worker.start()
            kill_at = now + dice.uniform(LEAST_SECONDS, MOST_SECONDS)
