"""A real OpenSSH server on this machine, for one key, on a port of its own.

with SshServer(Path("/tmp/sshd")) as server:
    checked(server.ssh("true"))
    server.change_host_key("ed25519")
    server.restart()
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import psutil

from tests.testbed.processes import Process, checked, free_ports, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_CONFIG: Final = {
    "StrictModes": "no",
    "UsePAM": "no",
    "PasswordAuthentication": "no",
    "MaxSessions": "100",
    "MaxStartups": "100",
    "Subsystem": "sftp internal-sftp",
}


def make_key(path: Path, kind: str = "ed25519", passphrase: str = "", *more: str) -> Path:
    """Make a pair of keys; return the private one."""
    path.unlink(missing_ok=True)
    checked(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-f", str(path), *more])
    return path


class SshServer:
    """sshd with its own host keys, which lets in the holder of `key` and of what stands in `authorized_keys`.

    Args:
        directory: of its files; made if need be.
        host_keys: the kinds of keys that it shows, in its order.
        address: what it listens on.
        options: lines of its configuration, over ours.
        inside: what stands before its command, such as ("ip", "netns", "exec", "name").
        env: environment of what runs there. The user's home is an empty directory unless HOME is here: what starts
            with a shell of this machine's user, such as a version manager that waits for a lock, is no part of a test.
    """

    def __init__(
        self,
        directory: Path,
        *,
        host_keys: Sequence[str] = ("ed25519",),
        address: str = "127.0.0.1",
        options: Mapping[str, str] | None = None,
        env: Mapping[str, str] | None = None,
        inside: Sequence[str] = (),
    ) -> None:
        self.directory = directory
        self.address = address
        self.port = free_ports(1)[0]
        #: private key of the user
        self.key = directory / "user_key"
        #: public keys that are let in
        self.authorized_keys = directory / "authorized_keys"
        #: the server's own public keys, as known_hosts has them
        self.known_hosts = directory / "known_hosts"
        #: home directory of the user there
        self.home = directory / "home"
        self.env = {"HOME": str(self.home), **(env or {})}
        self._options = {**_CONFIG, **(options or {})}
        self._kinds = tuple(host_keys)
        self._inside = tuple(inside)
        self._process: Process | None = None

    @property
    def pid(self) -> int:
        """Process id of the listening server."""
        if self._process is None:
            msg = "the server does not run"
            raise RuntimeError(msg)
        return self._process.pid

    def start(self) -> None:
        """Make the keys that are missing, start the server and wait until it listens."""
        self.home.mkdir(parents=True, exist_ok=True)
        if not self.key.exists():
            make_key(self.key)
            self.authorized_keys.write_text(self.key.with_suffix(".pub").read_text())
        for kind in self._kinds:
            if not self.host_key(kind).exists():
                self.change_host_key(kind)
        lines = (f"{self.where} {self.public(kind)}" for kind in self._kinds)
        self.known_hosts.write_text("".join(lines))
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd refuses to start without it
        sshd = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
        argv = [*self._inside, str(sshd), "-D", "-e", "-f", str(self._configuration())]
        self._process = Process(argv, log=self.directory / "sshd.log")
        wait_until(self._listens, f"sshd listens; it says {self._process.text()}")

    @property
    def where(self) -> str:
        """The server's name, as known_hosts has it."""
        return f"[{self.address}]:{self.port}"

    def host_key(self, kind: str) -> Path:
        """Return the file of one of its private host keys."""
        return self.directory / f"host_{kind}_key"

    def public(self, kind: str) -> str:
        """Return type and text of one of its public host keys, with the end of the line."""
        words = self.host_key(kind).with_suffix(".pub").read_text().split()
        return f"{words[0]} {words[1]}\n"

    def change_host_key(self, kind: str = "ed25519") -> None:
        """Give it another key, which it shows from the next start on."""
        make_key(self.host_key(kind), kind)

    def log(self) -> str:
        """Return what it said so far."""
        return (self.directory / "sshd.log").read_text(errors="replace")

    def ssh(self, *command: str) -> list[str]:
        """Return the argument vector that runs a command there."""
        known = f"UserKnownHostsFile={self.known_hosts}"
        options = ("-F", "none", "-o", known, "-o", "BatchMode=yes")
        port = str(self.port)
        return ["ssh", *options, "-i", str(self.key), "-p", port, self.address, *command]

    def stop(self) -> None:
        """End the server; connections that stand go on."""
        if self._process:
            self._process.stop()
            self._process = None

    def crash(self) -> None:
        """End the server and all of its connections at once."""
        if self._process:
            children = _descendants(self._process.pid)
            self._process.kill()
            self._process = None
            for child in children:
                _kill(child)

    def restart(self) -> None:
        """Stop it, and start it on the same port."""
        self.stop()
        self.start()

    def _configuration(self) -> Path:
        own = {
            "Port": str(self.port),
            "ListenAddress": self.address,
            "PidFile": f"{self.directory}/sshd.pid",
            "AuthorizedKeysFile": str(self.authorized_keys),
            # the first line of it counts alone
            "SetEnv": " ".join(f'"{name}={value}"' for name, value in self.env.items()),
        }
        lines = [f"{key} {value}" for key, value in {**own, **self._options}.items()]
        lines += [f"HostKey {self.host_key(kind)}" for kind in self._kinds]
        config = self.directory / "sshd_config"
        config.write_text("\n".join([*lines, ""]))
        return config

    def _listens(self) -> bool:
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        with socket.socket(family) as probe:
            return probe.connect_ex((self.address, self.port)) == 0

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()


def _descendants(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
