"""The work that is measured: tasks of one small input and one small output file, carried out by jobferry on Slurm.

with world.slurm() as slurm:
    done = copies(path, slurm, 1000)      # seconds, commands, bytes in the ledger
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from benchmarks import world
from jobferry import Resources, Submission, Task

if TYPE_CHECKING:
    from pathlib import Path

    from tests.testbed.fleet import Fleet
    from tests.testbed.slurm import SlurmCluster

COMMAND: Final = "cat in > out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What one run of jobferry took."""

    seconds: float  #: from submit until all results are back
    calls: tuple[tuple[float, str], ...]  #: Unix time and name of every scheduler command
    bytes: float  #: of all keys of the run in the ledger, afterwards


def submission(base: Path, jobs: int, *, clean: bool = False) -> Submission:
    """Describe so many jobs of one task each."""
    tasks = [
        Task(
            command=COMMAND,
            task_work_path=f"t{index}",
            forward_files=("in",),
            backward_files=("out",),
        )
        for index in range(jobs)
    ]
    resources = Resources(group_size=1, queue_name="main")
    return Submission(str(base), cluster="bench", resources=resources, task_list=tasks, clean=clean)


def copies(
    path: Path, slurm: SlurmCluster, jobs: int, *, as_usual: bool = False, **more: Any
) -> Done:
    """Have jobferry carry out such a submission through the Local context, or what more of a profile says.

    Without a login shell and without cleaning, so that its scripts can be run again; as usual: with both.
    """
    base = world.work(path / "work", jobs)
    (path / "remote").mkdir()
    profile: dict[str, Any] = {
        "batch_type": "Slurm",
        "context_type": "Local",
        "remote_root": str(path / "remote"),
        "login_shell": as_usual,
        **more,
    }
    with world.fleet(path, {"bench": profile}, env=slurm.env()) as fleet:
        slurm.wrappers.forget()
        begin = time.perf_counter()
        result = fleet.submit(submission(base, jobs, clean=as_usual)).result()
        took = time.perf_counter() - begin
        size = ledger_bytes(fleet)
    all_came(base, "*/out", jobs)
    if not result.ok:
        sys.exit(f"the run failed: {result}")
    calls = tuple((at, name) for at, name, _ in slurm.wrappers.every_call())
    return Done(seconds=took, calls=calls, bytes=size)


def all_came(base: Path, pattern: str, jobs: int) -> None:
    """End the benchmark unless every task left its result."""
    count = sum(1 for _ in base.glob(pattern))
    if count != jobs:
        sys.exit(f"{count} of {jobs} results are at {base}/{pattern}")


def ledger_bytes(fleet: Fleet) -> float:
    """Return the bytes of all keys of runs, as the broker counts them."""
    redis = fleet.broker.client()
    keys = redis.scan_iter("jobferry:run:*", count=1000)
    return float(sum(redis.memory_usage(key, samples=0) or 0 for key in keys))
