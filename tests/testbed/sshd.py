"""A real OpenSSH server on this machine, for one key, on a port of its own.

with SshServer(Path("/tmp/sshd")) as server:
    checked(server.ssh("true"))
"""

from __future__ import annotations

import shutil
import socket
from pathlib import Path
from typing import Self

from tests.testbed.processes import Process, checked, free_ports, wait_until

_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {directory}/host_key
PidFile {directory}/sshd.pid
AuthorizedKeysFile {directory}/user_key.pub
StrictModes no
UsePAM no
PasswordAuthentication no
MaxSessions 100
MaxStartups 100
Subsystem sftp internal-sftp
"""


class SshServer:
    """sshd with its own host key, which lets in the holder of `key`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_ports(1)[0]
        #: private key of the user
        self.key = directory / "user_key"
        #: the server's own public key, as known_hosts has it
        self.known_hosts = directory / "known_hosts"
        self._process: Process | None = None

    def start(self) -> None:
        """Make the keys, start the server and wait until it listens."""
        self.directory.mkdir(parents=True, exist_ok=True)
        for name in ("host_key", "user_key"):
            if not (self.directory / name).exists():
                checked(
                    [
                        "ssh-keygen",
                        "-q",
                        "-t",
                        "ed25519",
                        "-N",
                        "",
                        "-f",
                        str(self.directory / name),
                    ]
                )
        host_key = (self.directory / "host_key.pub").read_text()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {host_key}")
        config = self.directory / "sshd_config"
        config.write_text(_CONFIG.format(port=self.port, directory=self.directory))
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd refuses to start without it
        sshd = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
        argv = [str(sshd), "-D", "-e", "-f", str(config)]
        self._process = Process(argv, log=self.directory / "sshd.log")
        wait_until(self._listens, f"sshd listens; it says {self._process.text()}")

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def ssh(self, *command: str) -> list[str]:
        """Return the argument vector that runs a command there."""
        options = (
            "-F",
            "none",
            "-o",
            f"UserKnownHostsFile={self.known_hosts}",
            "-o",
            "BatchMode=yes",
        )
        return ["ssh", *options, "-i", str(self.key), "-p", str(self.port), "127.0.0.1", *command]

    def stop(self) -> None:
        """End the server."""
        if self._process:
            self._process.stop()
            self._process = None

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()
