"""What stands around the storm: broker, Slurm, an sshd behind a proxy, a small disk, settings, directories.

    with World(directory, places, seed=7) as world:
        world.broker.kill()

The settings of workers know a depot, and so do those of the producers whose files no worker sees.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import psutil

from tests.chaos.batches import APART, PLACES
from tests.chaos.task import write_script
from tests.testbed.broker import Broker
from tests.testbed.fleet import QUICK, write_settings
from tests.testbed.namespaces import hidden
from tests.testbed.proxy import Proxy
from tests.testbed.servers import missing
from tests.testbed.slurm import SlurmCluster
from tests.testbed.sshd import SshServer
from tests.testbed.wrappers import Wrappers

if TYPE_CHECKING:
    from collections.abc import Mapping

#: quicker than in earnest, so that many crashes fit into the time
TIMINGS: Final = {
    **QUICK,
    "command_seconds": 8,
    "grace_seconds": 20,
    "claim_seconds": 20,
    "visibility_seconds": 60,
    "retry_max_seconds": 5,
    "probe_max_seconds": 3,
    "soft_stop_seconds": 1,
    # who is killed on purpose at the same point again and again is no poison
    "poison_seconds": 1,
}
_NEEDS: Final = {
    "slurm": ("slurm",),
    "lazy": ("slurm",),
    "shared": ("slurm",),
    "far": ("slurm", "sshd"),
    APART: ("namespaces",),
}
_DISK: Final = "size=4m,nr_inodes=20k"


def places_here() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the places that this machine can have, and why the others are missing."""
    lacks = {
        place: [why for server in _NEEDS.get(place, ()) if (why := missing(server))]
        for place in PLACES
    }
    here = tuple(place for place, why in lacks.items() if not why)
    return here, tuple(f"{place}: {', '.join(why)}" for place, why in lacks.items() if why)


class World:
    """All of it; stops what it started."""

    def __init__(self, directory: Path, places: tuple[str, ...]) -> None:
        self.directory = directory
        self.places = places
        self.broker = Broker(directory / "broker")
        self.config = directory / "config.toml"
        self.near_config = directory / "near.toml"
        #: what the tasks write; nothing of jobferry knows it
        self.log = directory / "tasks.log"
        self.script = directory / "task.sh"
        #: where producers work: seen by workers, and not
        self.near, self.apart = directory / "near", directory / "apart"
        self.disk = directory / "disk"
        self.slurm: SlurmCluster | None = None
        self.sshd: SshServer | None = None
        self.proxy: Proxy | None = None
        self.has_disk = False
        self.wrappers: Wrappers | None = None
        self.env = {**os.environ, "HOME": str(directory / "home")}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self, stack: ExitStack) -> None:
        for path in (self.near, self.apart, self.disk, self.directory / "home/.ssh"):
            path.mkdir(parents=True)
        write_script(self.script, self.log)
        self.log.touch()
        stack.callback(self._end_jobs)
        stack.enter_context(self.broker)
        if "slurm" in self.places:
            self.slurm = stack.enter_context(SlurmCluster.temporary("chaos"))
            self.wrappers = Wrappers(self.directory / "bin", ("sbatch",))
            self.env["PATH"] = f"{self.wrappers.path}:{os.environ['PATH']}"
            self.env["SLURM_CONF"] = str(self.slurm.directory / "slurm.conf")
        if "far" in self.places:
            self._start_sshd(stack)
        if "tight" in self.places:
            self._mount(stack)
        settings = {"broker": self.broker.url, "timings": TIMINGS, "clusters": self.clusters()}
        write_settings(self.near_config, settings)
        depot = {"url": f"file://{self.directory / 'depot'}"} if APART in self.places else {}
        write_settings(self.config, {**settings, **({"depot": depot} if depot else {})})
        (self.directory / "depot").mkdir()

    def _end_jobs(self) -> None:
        """End what outlives all workers: jobs of the Shell scheduler, and their runners."""
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or ()
            if any(str(self.directory) in word for word in words):
                with suppress(psutil.Error):
                    process.kill()

    def _start_sshd(self, stack: ExitStack) -> None:
        assert self.slurm
        conf = {"SLURM_CONF": str(self.slurm.directory / "slurm.conf")}
        self.sshd = stack.enter_context(SshServer(self.directory / "sshd", env=conf))
        stack.callback(self.sshd.crash)
        self.proxy = stack.enter_context(Proxy(self.sshd.port))
        known = self.directory / "home/.ssh/known_hosts"
        known.write_text(f"[127.0.0.1]:{self.proxy.port} {self.sshd.public('ed25519')}")

    def _mount(self, stack: ExitStack) -> None:
        argv = ["mount", "-t", "tmpfs", "-o", _DISK, "tmpfs", str(self.disk)]
        self.has_disk = not subprocess.run(argv, check=False, capture_output=True).returncode
        if self.has_disk:
            stack.callback(subprocess.run, ["umount", "-l", str(self.disk)], check=False)

    def clusters(self) -> dict[str, dict[str, Any]]:
        """Return the profiles of all clusters."""
        quick = {"commands_per_second": 50.0}
        local = {"context_type": "Local", **quick}
        shell = {"batch_type": "Shell", **local, "max_running_jobs": 8}
        root = self.directory / "roots"
        found: dict[str, dict[str, Any]] = {
            "shell": {**shell, "remote_root": str(root / "shell")},
            "tight": {**shell, "remote_root": str(self.disk / "root")},
            APART: {**shell, "remote_root": str(root / "apart")},
            "slurm": {"batch_type": "Slurm", **local, "remote_root": str(root / "slurm")},
            "lazy": {
                "batch_type": "Slurm",
                "context_type": "LazyLocal",
                "local_root": str(self.near),
                "max_queued_jobs": 20,
                **quick,
            },
            "far": self._far(root / "far"),
        }
        return {name: profile for name, profile in found.items() if name in self.places}

    def _far(self, root: Path) -> dict[str, Any]:
        if self.sshd is None or self.proxy is None:
            return {}
        key = {"key_filename": str(self.sshd.key)}
        remote = {"hostname": "127.0.0.1", "port": self.proxy.port, **key}
        profile = {"batch_type": "Slurm", "context_type": "SSH", "commands_per_second": 50.0}
        return {**profile, "remote_root": str(root), "remote_profile": remote}

    def workers_env(self) -> Mapping[str, str]:
        """Return the environment of workers and beat."""
        return {**self.env, "JOBFERRY_CONFIG": str(self.config)}

    def workers_inside(self) -> tuple[str, ...]:
        """Return what stands before the command of workers: they do not see what is apart."""
        return hidden(self.apart) if APART in self.places else ()


def new_directory() -> Path:
    """Make a directory with a path that is short enough for a socket."""
    return Path(tempfile.mkdtemp(prefix="chaos-"))


def remove(directory: Path) -> None:
    """Remove a directory of a storm that is over."""
    shutil.rmtree(directory, ignore_errors=True)
