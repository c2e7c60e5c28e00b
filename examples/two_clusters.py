"""Two clusters share one submission, and one of them stops in the middle of it.

    .venv/bin/python examples/two_clusters.py

Two small Slurm clusters of the testbed (plain shells where Slurm is missing), a broker and a worker for each are
started in a temporary directory and stopped at the end. The figures at the end say who did how many jobs.
"""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from jobferry import Resources, Submission, Task
from jobferry_common.states import JobState
from tests.testbed.fleet import Fleet
from tests.testbed.servers import missing
from tests.testbed.slurm import SlurmCluster

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobferry import Handle

NAMES = ("hpc1", "hpc2")
JOBS = 40


def profile(directory: Path, name: str, batch_type: str) -> dict[str, Any]:
    """Return what the worker of a cluster must know."""
    root = directory / name
    root.mkdir()
    local = {"context_type": "Local", "remote_root": str(root), "login_shell": False}
    return {"batch_type": batch_type, **local, "max_running_jobs": 4}


def work(directory: Path) -> Submission:
    """Describe forty jobs of a second, which both clusters share."""
    tasks = []
    for number in range(JOBS):
        place = directory / "work" / f"case{number}"
        place.mkdir(parents=True)
        (place / "in").write_text(f"{number}\n")
        command = "sleep 1; tr 0-9 a-j < in > out"
        tasks.append(Task(command, place.name, forward_files=["in"], backward_files=["out"]))
    resources = Resources(group_size=1, queue_name="main")
    base = str(directory / "work")
    return Submission(base, cluster=list(NAMES), resources=resources, task_list=tasks)


def spread(fleet: Fleet, handle: Handle) -> str:
    """Say who did how many jobs so far."""
    at = fleet.client.ledger.by_cluster(handle.id)
    return ", ".join(f"{name} {counts.get(JobState.FINISHED, 0)}" for name, counts in at.items())


def share(fleet: Fleet, handle: Handle, slurms: Mapping[str, SlurmCluster]) -> None:
    """Follow the run; a quarter through, the second cluster stops, and comes back when the first has done its part."""
    stopped = False
    for record, _ in handle.follow(pause=1.0):
        done = record.counts[JobState.FINISHED]
        print(
            f"  {record.state}: {done} of {JOBS} are finished ({spread(fleet, handle)})", flush=True
        )
        if not stopped and done >= JOBS // 4:
            stopped = True
            print(
                f"{NAMES[1]}: its scheduler is frozen"
                if slurms
                else f"{NAMES[1]}: its worker is killed"
            )
            stop(fleet, slurms)
        elif stopped and not record.counts[JobState.PENDING] and not record.state.is_final:
            go_on(fleet, slurms)


def stop(fleet: Fleet, slurms: Mapping[str, SlurmCluster]) -> None:
    """Stop the second cluster: its scheduler, or its worker where there is no scheduler to stop."""
    if slurms:
        slurms[NAMES[1]].pause()
    else:
        fleet.processes[f"worker of {NAMES[1]}"].kill()


def go_on(fleet: Fleet, slurms: Mapping[str, SlurmCluster]) -> None:
    """Let the second cluster go on: what its scheduler had ends now."""
    if slurms:
        slurms[NAMES[1]].resume()
    elif not fleet.processes[f"worker of {NAMES[1]}"].alive():
        fleet.start_worker_of(NAMES[1])


def main() -> None:
    """Start it all, share the work, stop it all."""
    for name in [name for name in os.environ if name.startswith(("JOBFERRY_", "SLURM_"))]:
        del os.environ[name]
    with tempfile.TemporaryDirectory(prefix="jf-two-") as path, ExitStack() as stack:
        directory = Path(path)
        names = () if missing("slurm") else NAMES
        slurms = {name: stack.enter_context(SlurmCluster.temporary(name)) for name in names}
        batch_type = "Slurm" if slurms else "Shell"
        clusters = {name: profile(directory, name, batch_type) for name in NAMES}
        timings = {"claim_seconds": 5, "command_seconds": 8}
        fleet = stack.enter_context(
            Fleet(directory / "fleet", clusters, worker=False, timings=timings)
        )
        os.environ["JOBFERRY_CONFIG"] = str(fleet.config)
        for name in NAMES:
            fleet.start_worker_of(name, slurms[name].env() if slurms else None)
        print(f"{NAMES[0]} and {NAMES[1]} ({batch_type}) share {JOBS} jobs of one second")
        handle = fleet.submit(work(directory))
        share(fleet, handle, slurms)
        outputs = len(list((directory / "work").glob("case*/out")))
        print(
            f"{handle.status().state}; {outputs} results are here; finished: {spread(fleet, handle)}"
        )


if __name__ == "__main__":
    main()
