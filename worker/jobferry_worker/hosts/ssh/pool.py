"""The few shells that the threads of a worker share: one in use is nobody else's, one that broke is replaced.

with shells.lend(until) as shell:
    shell.ask("jf_names /scratch", until=until)
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Protocol

import paramiko

from jobferry_common.errors import HostUnreachable, NoSession
from jobferry_worker.hosts.ssh.channel import BROKEN, open_session
from jobferry_worker.hosts.ssh.shell import (
    START_SECONDS,
    Shell,
    ShellFlooded,
    ShellGone,
    ShellSilent,
    ShellUnbegun,
)
from jobferry_worker.hosts.ssh.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobferry_worker.hosts.ssh.shell import Answer

logger: Final = logging.getLogger(__name__)

#: how long a look may take that tells a stalled connection from a hung command
PROBE_SECONDS: Final = 15.0
#: until a call that hangs is ended from outside, after its own limit
_GRACE_SECONDS: Final = 5.0
_PATH_SECONDS: Final = 60.0
_NEVER: Final = 1 << 62
#: between two tries for a session where the server allows no more of them
_ROOM_SECONDS: Final = 0.2
_FREED_SECONDS: Final = 5.0
_LEAST_SECONDS: Final = 1.0
#: to how many more shells something is given
_TRIES: Final = 3


class Connection(Protocol):
    """What a host needs of its connection: `connect.Connection` is one."""

    @property
    def name(self) -> str:
        """For messages: "alice@login.hpc1:22"."""
        ...

    def transport(self) -> paramiko.Transport:
        """Return a live one; raises `HostUnreachable`."""
        ...

    def lost(self, transport: paramiko.Transport) -> None:
        """Close one that was found dead: the next is a new one."""
        ...

    def close(self) -> None:
        """End it."""
        ...


class _NoRoom(Exception):  # noqa: N818 - reads better than ...Error
    """The server allows no more sessions on this connection."""


class _Dead(Exception):  # noqa: N818 - reads better than ...Error
    """The connection had broken before anything was asked for."""


class Shells:
    """Shells on one connection."""

    def __init__(
        self, connection: Connection, *, login: bool, most: int, opening: str = ""
    ) -> None:
        self.connection = connection
        self._login = login
        self._opening = opening
        self._most = most
        self._idle: list[Shell] = []
        self._out = 0
        self._streams = 0
        self._changed = threading.Condition()
        self._path = ""
        self.watch = Watch(connection.lost)

    @contextmanager
    def lend(self, until: float) -> Iterator[Shell]:
        """Lend a shell; one that broke meanwhile is not lent again.

        Raises:
            HostUnreachable: none can be had.
        """
        shell = self._take(until)
        try:
            with self.watch.over(shell.transport, until + _GRACE_SECONDS):
                yield shell
        except ShellGone:
            shell.close()
            raise
        finally:
            self._give_back(shell)

    def use(
        self, ask: Callable[[Shell, float], Answer], *, seconds: float, again: bool = False
    ) -> Answer:
        """Have a shell answer within a time; what was certainly not begun, or may be done `again`, goes to another.

        Raises:
            HostUnreachable: no shell can be had, or the far side does not answer any more.
            ShellGone: what became of it is not known.
        """
        until = time.monotonic() + seconds
        for left in range(_TRIES, -1, -1):
            try:
                with self.lend(until) as shell:
                    return ask(shell, until)
            except ShellSilent:
                self._end(shell)
                raise
            except ShellFlooded:
                raise
            except ShellGone as error:
                if not left or not (again or isinstance(error, ShellUnbegun)):
                    raise
        raise AssertionError

    def path(self) -> str:
        """Return PATH as it is after a login."""
        if not self._path:
            with self.lend(time.monotonic() + _PATH_SECONDS) as shell:
                self._path = shell.path
        return self._path

    def transport(self) -> paramiko.Transport:
        """Return the connection's; the server alone asks for new keys, as OpenSSH's does in time.

        paramiko asks after 512 MiB, and breaks when a channel's end arrives before the server's answer.
        """
        transport = self.connection.transport()
        transport.packetizer.REKEY_BYTES = transport.packetizer.REKEY_PACKETS = _NEVER
        return transport

    def open(self, transport: paramiko.Transport, until: float, **sizes: int) -> paramiko.Channel:
        """Open a session for a stream; where the server allows no more, shells make room that nobody uses.

        Raises:
            NoSession: there is no room all the same.
        """
        while True:
            try:
                left = max(until - time.monotonic(), _LEAST_SECONDS)
                channel = open_session(transport, timeout=left, **sizes)
            except paramiko.ChannelException as error:
                self.close()
                with self._changed:
                    # a shell ends a moment after its channel, and one in use is given back
                    self._changed.wait(_ROOM_SECONDS)
                if time.monotonic() > until:
                    raise NoSession(self._no_session(error)) from error
            else:
                with self._changed:
                    self._streams += 1
                return channel

    def opened_no_more(self) -> None:
        """Note that a stream's session was closed."""
        with self._changed:
            self._streams -= 1
            self._changed.notify()

    def is_reachable(self, transport: paramiko.Transport) -> bool:
        """Tell whether the far side answers at all; a connection over which nothing comes is given up."""
        until = time.monotonic() + PROBE_SECONDS + _GRACE_SECONDS
        try:
            with self.watch.over(transport, until):
                open_session(transport, timeout=PROBE_SECONDS).close()
        except paramiko.ChannelException:  # it answers that it has no room
            return True
        except BROKEN:
            self.connection.lost(transport)
            return False
        return True

    def close(self) -> None:
        """End those that nobody uses."""
        with self._changed:
            idle, self._idle = self._idle, []
        for shell in idle:
            shell.close()

    def _take(self, until: float) -> Shell:
        was_dead = False
        soon = time.monotonic() + _FREED_SECONDS
        while True:
            transport = self.transport()
            if shell := self._turn(transport, until):
                return shell
            try:
                return self._start(transport)
            except _NoRoom as error:
                self._make_do(error, soon, until)
            except _Dead as error:  # it broke while nobody used it: nothing was done over it
                self._left()
                if was_dead:
                    raise HostUnreachable(str(error)) from error
                was_dead = True
            except BaseException:
                self._left()
                raise

    def _turn(self, transport: paramiko.Transport, until: float) -> Shell | None:
        """Wait for one's turn; return the shell that was used last, so that few are needed, or None for a new one."""
        with self._changed:
            while not (shell := self._usable(transport)) and self._out >= self._most:
                if not self._changed.wait(max(until - time.monotonic(), 0.0)):
                    msg = (
                        f"{self.connection.name}: all {self._most} shells were busy for too long: "
                        "other commands hang there; it is tried again"
                    )
                    raise HostUnreachable(msg)
            self._out += 1
            return shell

    def _left(self) -> int:
        with self._changed:
            self._out -= 1
            self._changed.notify()
            return self._out

    def _make_do(self, error: _NoRoom, soon: float, until: float) -> None:
        """The server allows no more sessions: wait for those that there are, or for a stream that has the only one.

        One that was closed is free `soon`, once what ran in it has ended.
        """
        others = self._left()
        if others:
            self._most = others
            return
        with self._changed:
            if time.monotonic() < (until if self._streams else min(until, soon)):
                self._changed.wait(_ROOM_SECONDS)
                return
        raise NoSession(self._no_session(error)) from error

    def _no_session(self, error: Exception) -> str:
        return (
            f"{self.connection.name} opens no session: {error}; "
            "MaxSessions in its sshd_config should be 10 or more"
        )

    def _usable(self, transport: paramiko.Transport) -> Shell | None:
        while self._idle:
            shell = self._idle.pop()
            if shell.transport is transport and shell.usable:
                return shell
            shell.close()
        return None

    def _start(self, transport: paramiko.Transport) -> Shell:
        try:
            with self.watch.over(transport, time.monotonic() + START_SECONDS + _GRACE_SECONDS):
                return Shell.start(
                    transport,
                    login=self._login,
                    opening=self._opening,
                    is_reachable=lambda: self.is_reachable(transport),
                )
        except ShellGone as error:
            if isinstance(error.__cause__, paramiko.ChannelException):
                raise _NoRoom(str(error)) from error
            why = self._unstarted(error) if transport.is_active() else str(error)
            msg = f"{self.connection.name}: {why}; it is tried again"
            dead = isinstance(error.__cause__, (EOFError, ConnectionError))
            if isinstance(error, ShellSilent) or dead or not transport.is_active():
                self.connection.lost(transport)
            if dead:
                raise _Dead(msg) from error
            raise HostUnreachable(msg) from error

    def _unstarted(self, error: ShellGone) -> str:
        """Return why a login that went well led to no shell: what it runs at first is all that there is."""
        if error.__cause__ is not None:
            return str(error)
        first = f"execute_command ({self._opening}), " if self._opening else ""
        return (
            f"no shell could be started: {error}; does {first}~/.profile or ~/.bashrc there end it, or wait for "
            "something? Log in by hand and do: bash -l"
        )

    def _give_back(self, shell: Shell) -> None:
        if shell.usable:
            with self._changed:
                self._idle.append(shell)
        else:
            shell.close()
        self._left()
        if not shell.transport.is_active():
            self.connection.lost(shell.transport)

    def _end(self, shell: Shell) -> None:
        """End what a shell was doing that did not answer, unless it is the connection over which nothing comes."""
        if not self.is_reachable(shell.transport):
            msg = f"{self.connection.name} stopped answering; the connection is given up"
            raise HostUnreachable(msg)
        line = f"jf_kill {shell.process}"
        with (
            suppress(ShellGone, HostUnreachable),
            self.lend(time.monotonic() + PROBE_SECONDS) as other,
        ):
            other.ask(line, until=time.monotonic() + PROBE_SECONDS)
