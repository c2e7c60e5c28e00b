"""Two hosts on one machine: processes that do not see each other's directories.

    worker = Process([*hidden(producer_directory), "jobferry", "worker", …], …)

A mount namespace of its own, with an empty file system over each directory that is to be hidden.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_MOUNT = "mount -t tmpfs -o mode=0755,size=64k none"


def hidden(*directories: Path) -> tuple[str, ...]:
    """Return what stands before a command that must not see directories."""
    mounts = " && ".join(f"{_MOUNT} {shlex.quote(str(path))}" for path in directories)
    return (
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        f'{mounts} && exec "$@"',
        "sh",
    )
