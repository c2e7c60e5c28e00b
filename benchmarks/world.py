"""What benchmarks run on: the testbed's Slurm, broker, worker and beat, at jobferry's rhythm in earnest."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psutil

from jobferry_common.models.profiles import SshProfile
from jobferry_worker.hosts.ssh.connect import Connection
from tests.testbed.fleet import Fleet
from tests.testbed.slurm import SlurmCluster

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.testbed.sshd import SshServer

_PATIENCE_SECONDS: Final = 60.0
_SAMPLE_SECONDS: Final = 3.0
_QUIET_PERCENT: Final = 25.0


def wait_for_quiet() -> None:
    """Wait until this machine has little else to do; after a minute, go on all the same."""
    end = time.monotonic() + _PATIENCE_SECONDS
    while psutil.cpu_percent(interval=_SAMPLE_SECONDS) > _QUIET_PERCENT and time.monotonic() < end:
        pass


@contextmanager
def directory() -> Iterator[Path]:
    """Give a new directory with a short path; its home is empty, and so are jobferry's settings."""
    path = Path(tempfile.mkdtemp(prefix="jf-bench-"))
    before = dict(os.environ)
    for name in [*os.environ]:
        if name.startswith(("JOBFERRY_", "SLURM_", "XDG_")):
            del os.environ[name]
    os.environ["HOME"] = str(path)
    try:
        yield path
    finally:
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def slurm() -> Iterator[SlurmCluster]:
    """Start a Slurm of 4 nodes with 8 CPUs each."""
    with SlurmCluster.temporary("bench") as cluster:
        yield cluster


@contextmanager
def fleet(
    path: Path, clusters: Mapping[str, Mapping[str, Any]], **keywords: Any
) -> Iterator[Fleet]:
    """Start broker, worker and beat on some clusters."""
    fleet = Fleet(path / "fleet", clusters, quick=False, **keywords)
    os.environ["JOBFERRY_CONFIG"] = str(fleet.config)
    try:
        with fleet:
            yield fleet
    finally:
        shutil.rmtree(fleet.directory, ignore_errors=True)


def connection(server: SshServer) -> Connection:
    """Return jobferry's own connection to an sshd, which this user knows from then on."""
    ssh = Path.home() / ".ssh"
    ssh.mkdir(mode=0o700, exist_ok=True)
    with (ssh / "known_hosts").open("a") as known:
        known.write(server.known_hosts.read_text())
    profile = {"hostname": server.address, "port": server.port, "key_filename": str(server.key)}
    return Connection(SshProfile.model_validate(profile))


def work(path: Path, number: int, text: str = "input\n") -> Path:
    """Make a work base with a directory and an input for each task; return it."""
    for index in range(number):
        task = path / f"t{index}"
        task.mkdir(parents=True)
        (task / "in").write_text(text)
    return path
