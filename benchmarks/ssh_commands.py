"""What commands and bulk data cost over ssh, to an sshd on this machine.

A command through the long-lived shell is compared with one on a new channel, and with none of ssh at all; bulk data
through a channel of jobferry's with OpenSSH's own client.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from benchmarks import world
from benchmarks.figure import Figure, Goal, Log, Section
from jobferry_worker.hosts import LocalHost
from jobferry_worker.hosts.ssh import SshHost
from tests.testbed.sshd import SshServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import paramiko

_COMMANDS: Final = 200
_CHANNELS: Final = 20
_BYTES: Final = 1 << 30
_PIECE: Final = 1 << 18
_LIMIT: Final = timedelta(seconds=60)

_SHELL: Final = "a command through the shell"
_LISTING: Final = "a listing of a directory through the shell"
_CHANNEL: Final = "a command on a channel of its own"
_LOCAL: Final = "a command on this machine, without ssh"
_UP: Final = "1 GiB to the far side"
_DOWN: Final = "1 GiB from the far side"
_OPENSSH_UP: Final = "1 GiB to the far side, OpenSSH"
_OPENSSH_DOWN: Final = "1 GiB from the far side, OpenSSH"


def measure(rounds: int, size: int) -> Section:
    """Measure each of them in turn; `size`: bytes of bulk data."""
    size = size or _BYTES
    log = Log()
    with world.directory() as path, SshServer(path / "sshd") as server:
        link = world.connection(server)
        host = SshHost(link)
        host.user()
        for _ in range(rounds):
            _commands(log, host, link.transport())
            _bulk(log, host, server, size)
        host.close()
    return Section(
        title="Commands and streams over ssh",
        command=f"python -m benchmarks.run --only ssh_commands --rounds {rounds}",
        about=(__doc__ or "").split("\n", 2)[2].strip(),
        figures=_figures(log),
        raws=tuple(log.raws),
    )


def _figures(log: Log) -> tuple[Figure, ...]:
    return (
        Figure(
            name="a command: shell : new channel",
            goal=Goal(bound=0.2, unit="×"),
            values=log.ratio(_SHELL, _CHANNEL),
            why="the login shell has no start-up files here: where it has some, a new channel takes much longer.",
        ),
        Figure(name="a command: shell : no ssh", values=log.ratio(_SHELL, _LOCAL), unit="×"),
        Figure(
            name="bulk data up: rate : OpenSSH's",
            goal=Goal(bound=0.8, unit="×", at_least=True),
            values=log.ratio(_UP, _OPENSSH_UP),
        ),
        Figure(
            name="bulk data down: rate : OpenSSH's",
            goal=Goal(bound=0.8, unit="×", at_least=True),
            values=log.ratio(_DOWN, _OPENSSH_DOWN),
            why="paramiko deciphers and copies in Python's one thread.",
        ),
    )


def _commands(log: Log, host: SshHost, transport: paramiko.Transport) -> None:
    local = LocalHost()
    log.note(_SHELL, _each(lambda: host.run(("true",), limit=_LIMIT), _COMMANDS), "ms")
    log.note(_LISTING, _each(lambda: host.names("/etc"), _COMMANDS), "ms")
    log.note(_CHANNEL, _each(lambda: _on_a_channel(transport), _CHANNELS), "ms")
    log.note(_LOCAL, _each(lambda: local.run(("true",), limit=_LIMIT), _COMMANDS), "ms")


def _each(call: Callable[[], object], times: int) -> float:
    took = []
    for _ in range(times):
        begin = time.perf_counter()
        call()
        took.append(1000 * (time.perf_counter() - begin))
    return statistics.median(took)


def _on_a_channel(transport: paramiko.Transport) -> None:
    channel = transport.open_session()
    channel.exec_command("true")
    channel.recv_exit_status()
    channel.close()


def _bulk(log: Log, host: SshHost, server: SshServer, size: int) -> None:
    data = os.urandom(_PIECE)
    log.note(_UP, _rate(lambda: _up(host, data, size), size), "MB/s")
    log.note(_OPENSSH_UP, _rate(lambda: _openssh_up(server, data, size), size), "MB/s")
    log.note(_DOWN, _rate(lambda: _down(host, size), size), "MB/s")
    log.note(_OPENSSH_DOWN, _rate(lambda: _openssh_down(server, size), size), "MB/s")


def _rate(call: Callable[[], object], size: int) -> float:
    begin = time.perf_counter()
    call()
    return size / 1e6 / (time.perf_counter() - begin)


def _pieces(data: bytes, size: int) -> Iterator[bytes]:
    for _ in range(size // len(data)):
        yield data


def _up(host: SshHost, data: bytes, size: int) -> None:
    argv = ("sh", "-c", "cat >/dev/null")
    host.feed(argv, _pieces(data, size), silence=_LIMIT).checked()


def _down(host: SshHost, size: int) -> None:
    count = 0
    with host.output(("head", "-c", str(size), "/dev/zero"), silence=_LIMIT) as output:
        while data := output.read(_PIECE):
            count += len(data)
        output.end().checked()
    if count != size:
        sys.exit(f"{count} of {size} bytes came")


def _openssh_up(server: SshServer, data: bytes, size: int) -> None:
    argv = server.ssh("cat >/dev/null")
    with subprocess.Popen(argv, stdin=subprocess.PIPE) as child:
        if child.stdin:
            for piece in _pieces(data, size):
                child.stdin.write(piece)
        child.communicate()
    if child.returncode:
        sys.exit(f"ssh ended with {child.returncode}")


def _openssh_down(server: SshServer, size: int) -> None:
    argv = server.ssh("head", "-c", str(size), "/dev/zero")
    subprocess.run(argv, stdout=subprocess.DEVNULL, check=True)
