"""The way to a host: a socket, directly, through a command, or through a connection to the host before.

sock = straight(login)                      TCP
sock = through_command(login)               ProxyCommand
sock = through_host(transport, login)       ProxyJump
"""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import tempfile
import threading
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Final

import paramiko

from jobferry_common.errors import HostUnreachable

if TYPE_CHECKING:
    from jobferry_common.ssh.config import Login

#: what only a shell understands; quotes and brackets are read without one
_SHELL_SYNTAX: Final = frozenset("|&;<>()$`*?{}~!\n")
_SHOWN_CHARACTERS: Final = 300
_PATIENCE_SECONDS: Final = 2.0
#: how long the network may swallow what was sent before the connection counts as dead
_UNANSWERED_SECONDS: Final = 60


def straight(login: Login) -> socket.socket:
    """Return a TCP connection, to the first of the host's addresses that answers.

    Raises:
        HostUnreachable: none does.
    """
    try:
        found = socket.getaddrinfo(login.host, login.port, login.family, socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        msg = f"{login.name}: nobody knows the address of {login.host} ({why}); is the name right?"
        raise HostUnreachable(msg) from None
    why_not: list[str] = []
    for family, kind, protocol, _, address in found:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(login.timeout_seconds)
            sock.connect(address)
        except OSError as error:
            sock.close()
            why = "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
            why_not.append(f"{address[0]}: {why}")
        else:
            _notice_death(sock)
            return sock
    msg = (
        f"{login.name} cannot be reached: {'; '.join(dict.fromkeys(why_not))}; is the port right, and does a firewall "
        f"or a VPN stand between? Try by hand: {login.by_hand}"
    )
    raise HostUnreachable(msg)


def _notice_death(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNANSWERED_SECONDS * 1000)


def through_host(transport: paramiko.Transport, login: Login) -> paramiko.Channel:
    """Return a connection that the host before makes.

    Raises:
        HostUnreachable: it does not make it.
    """
    try:
        return transport.open_channel(
            "direct-tcpip",
            (login.host, login.port),
            ("127.0.0.1", 0),
            timeout=login.timeout_seconds,
        )
    except (paramiko.SSHException, EOFError, OSError) as error:
        msg = f"{login.name} cannot be reached through the host before it (ProxyJump): {error}"
        raise HostUnreachable(msg) from None


class ProxySocket(socket.socket):
    """Our end of a proxy command; the command ends with it."""

    def attach(self, process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
        """Have a process end with this socket."""
        self._guard = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = process
        self._errors = errors
        self._said = ""

    def said(self) -> str:
        """Return the end of what the command wrote to its standard error; it is over then."""
        self.close()
        return self._said

    def close(self) -> None:
        """Close it, and end the command with all that it started."""
        super().close()
        if not hasattr(self, "_guard"):
            return
        with self._guard:  # the connection's own thread closes it as well
            if self._process is not None:
                _end(self._process)
                self._errors.seek(0)
                self._said = self._errors.read().decode("utf-8", "replace")[-_SHOWN_CHARACTERS:]
                self._errors.close()
                self._process = None


def through_command(login: Login, command: str) -> ProxySocket:
    """Start a proxy command and return our end of it.

    Raises:
        HostUnreachable: it cannot be started.
    """
    argv = _argv(command, login)
    ours, theirs = socket.socketpair()
    proxy = ProxySocket(fileno=ours.detach())
    said = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the command
    try:
        process = subprocess.Popen(
            argv,
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=said,
            start_new_session=True,
        )
    except OSError as error:
        proxy.close()
        said.close()
        msg = (
            f"{login.name}: ProxyCommand {program_of(command)} cannot be started: {error.strerror}"
        )
        raise HostUnreachable(msg) from None
    finally:
        theirs.close()
    proxy.attach(process, said)
    return proxy


def program_of(command: str) -> str:
    """Return what a command runs, for messages; its arguments may hold a secret."""
    return next((word for word in command.split() if "=" not in word), "")


def _argv(command: str, login: Login) -> list[str]:
    """Return the words of a command; what needs a shell gets one, as with OpenSSH."""
    if _SHELL_SYNTAX.isdisjoint(command):
        try:
            return shlex.split(command)
        except ValueError as error:
            msg = f"{login.name}: ProxyCommand {program_of(command)} cannot be read: {error}"
            raise HostUnreachable(msg) from None
    return ["/bin/sh", "-c", f"exec {command}"]


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
