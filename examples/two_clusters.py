"""Two clusters share one submission, and one of them stops in the middle of it.

    .venv/bin/python examples/two_clusters.py
    .venv/bin/python examples/two_clusters.py --ssh     each behind an ssh server, and one of these goes away

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
from tests.testbed.sshd import SshServer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobferry import Handle

NAMES = ("hpc1", "hpc2")
JOBS = 40


def profile(
    directory: Path, name: str, batch_type: str, server: SshServer | None
) -> dict[str, Any]:
    """Return what the worker of a cluster must know."""
    root = directory / name
    root.mkdir()
    common = {
        "batch_type": batch_type,
        "remote_root": str(root),
        "login_shell": False,
        "max_running_jobs": 4,
    }
    if server is None:
        return {**common, "context_type": "Local"}
    login = {"hostname": server.address, "port": server.port, "key_filename": str(server.key)}
    return {**common, "context_type": "SSH", "remote_profile": login}


def login_nodes(
    stack: ExitStack, directory: Path, slurms: Mapping[str, SlurmCluster]
) -> dict[str, SshServer]:
    """Start an ssh server for each cluster, in a home directory where both are known."""
    servers = {}
    for name in NAMES:
        env = {"SLURM_CONF": slurms[name].env()["SLURM_CONF"]} if slurms else {}
        servers[name] = stack.enter_context(SshServer(directory / f"sshd-{name}", env=env))
    ssh = directory / "home" / ".ssh"
    ssh.mkdir(parents=True, mode=0o700)
    known = "".join(server.known_hosts.read_text() for server in servers.values())
    (ssh / "known_hosts").write_text(known)
    os.environ["HOME"] = str(ssh.parent)
    return servers


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


def share(fleet: Fleet, handle: Handle, outage: Outage) -> None:
    """Follow the run; a quarter through, the second cluster stops, and comes back when the first has done its part."""
    for record, _ in handle.follow(pause=1.0):
        done = record.counts[JobState.FINISHED]
        print(
            f"  {record.state}: {done} of {JOBS} are finished ({spread(fleet, handle)})", flush=True
        )
        if not outage.began and done >= JOBS // 4:
            print(f"{NAMES[1]}: {outage.what}")
            outage.begin()
        elif outage.began and not record.counts[JobState.PENDING]:
            outage.end()


class Outage:
    """Of the second cluster: of its ssh server, its scheduler, or its worker where there is nothing else to stop."""

    def __init__(
        self, fleet: Fleet, slurms: Mapping[str, SlurmCluster], servers: Mapping[str, SshServer]
    ) -> None:
        self._fleet = fleet
        self._slurm = slurms.get(NAMES[1])
        self._server = servers.get(NAMES[1])
        self.began = self._ended = False

    @property
    def what(self) -> str:
        """What happens, in words."""
        if self._server:
            return "its ssh server is killed"
        return "its scheduler is frozen" if self._slurm else "its worker is killed"

    def begin(self) -> None:
        """Stop it."""
        self.began = True
        if self._server:
            self._server.crash()
        elif self._slurm:
            self._slurm.pause()
        else:
            self._fleet.processes[f"worker of {NAMES[1]}"].kill()

    def end(self) -> None:
        """Let it go on, once: what its scheduler had ends now."""
        if self._ended:
            return
        self._ended = True
        if self._server:
            self._server.start()
        elif self._slurm:
            self._slurm.resume()
        else:
            self._fleet.start_worker_of(NAMES[1])


def main() -> None:
    """Start it all, share the work, stop it all."""
    for name in [one for one in os.environ if one.startswith(("JOBFERRY_", "SLURM_", "SSH_"))]:
        del os.environ[name]
    with tempfile.TemporaryDirectory(prefix="jf-two-") as path, ExitStack() as stack:
        directory = Path(path)
        names = () if missing("slurm") else NAMES
        slurms = {name: stack.enter_context(SlurmCluster.temporary(name)) for name in names}
        batch_type = "Slurm" if slurms else "Shell"
        servers = login_nodes(stack, directory, slurms) if "--ssh" in sys.argv[1:] else {}
        clusters = {name: profile(directory, name, batch_type, servers.get(name)) for name in NAMES}
        timings = {"claim_seconds": 5, "command_seconds": 8}
        fleet = stack.enter_context(
            Fleet(directory / "fleet", clusters, worker=False, timings=timings)
        )
        os.environ["JOBFERRY_CONFIG"] = str(fleet.config)
        for name in NAMES:
            # behind ssh, Slurm is found there and not by the worker
            fleet.start_worker_of(name, slurms[name].env() if slurms and not servers else None)
        way = f"{batch_type}, over ssh" if servers else batch_type
        print(f"{NAMES[0]} and {NAMES[1]} ({way}) share {JOBS} jobs of one second")
        handle = fleet.submit(work(directory))
        share(fleet, handle, Outage(fleet, slurms, servers))
        outputs = len(list((directory / "work").glob("case*/out")))
        print(
            f"{handle.status().state}; {outputs} results are here; finished: {spread(fleet, handle)}"
        )


if __name__ == "__main__":
    main()
