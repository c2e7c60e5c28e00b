"""Two hosts on one machine: processes that do not see each other's directories.

    worker = Process([*hidden(producer_directory), "jobferry", "worker", …], …)

A mount namespace of its own, with an empty file system over each directory that is to be hidden.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import shlex
import signal
from typing import TYPE_CHECKING, Self

from tests.testbed.processes import checked

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


class FarHost:
    """A network namespace with an address of its own, which can be cut off.

    with FarHost() as far, SshServer(directory, address=far.address, inside=far.inside) as server:
        far.cut()
        far.join()
    """

    def __init__(self) -> None:
        number = os.getpid() % (1 << 14)
        network = ipaddress.ip_network("198.18.0.0/16")
        _, near, far, _ = (network[4 * number + index] for index in range(4))
        self._near = f"{near}/30"
        self._far = f"{far}/30"
        self._name = f"jf{number}"
        self._link = f"jfn{number}", f"jff{number}"
        #: what others reach it by
        self.address = str(far)
        #: what stands before a command that is to run there; "ip netns exec" would take /sys/fs/cgroup away
        self.inside = ("nsenter", f"--net=/run/netns/{self._name}")

    def __enter__(self) -> Self:
        """Make it."""
        near, far = self._link
        checked(["ip", "netns", "add", self._name])
        try:
            self._ip("link", "set", "lo", "up")
            checked(["ip", "link", "add", near, "type", "veth", "peer", far, "netns", self._name])
            checked(["ip", "address", "add", self._near, "dev", near])
            checked(["ip", "link", "set", near, "up"])
            self._ip("address", "add", self._far, "dev", far)
            self.join()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Remove it, the link, and what still runs there: a session that waits for what was lost with the link."""
        for pid in checked(["ip", "netns", "pids", self._name]).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        checked(["ip", "netns", "delete", self._name])

    def cut(self) -> None:
        """Cut the link: nothing comes, and nobody is told."""
        self._ip("link", "set", self._link[1], "down")

    def join(self) -> None:
        """Mend the link."""
        self._ip("link", "set", self._link[1], "up")

    def _ip(self, *arguments: str) -> None:
        checked(["ip", "-n", self._name, *arguments])
