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

from jobferry_common.errors import HostUnreachable
from jobferry_worker.hosts.ssh.channel import BROKEN
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


class Shells:
    """Shells on one connection."""

    def __init__(
        self, connection: Connection, *, login: bool, most: int, opening: str = ""
    ) -> None:
        self.connection = connection
        self._login = login
        self._opening = opening
        self._most = most
        self._idle: list[tuple[paramiko.Transport, Shell]] = []
        self._out = 0
        self._changed = threading.Condition()
        self._path = ""
        self.watch = Watch(connection.lost)

    @contextmanager
    def lend(self, until: float) -> Iterator[Shell]:
        """Lend a shell; one that broke meanwhile is not lent again.

        Raises:
            HostUnreachable: none can be had.
        """
        transport, shell = self._take(until)
        try:
            with self.watch.over(transport, until + _GRACE_SECONDS):
                yield shell
        except ShellGone:
            shell.close()
            raise
        finally:
            self._give_back(transport, shell)

    def use(
        self, ask: Callable[[Shell, float], Answer], *, seconds: float, again: bool = False
    ) -> Answer:
        """Have a shell answer within a time; what was certainly not begun, or may be done `again`, goes to another.

        Raises:
            HostUnreachable: no shell can be had.
            ShellGone: what became of it is not known.
        """
        for left in range(_TRIES, -1, -1):
            until = time.monotonic() + seconds
            try:
                with self.lend(until) as shell:
                    return ask(shell, until)
            except (ShellSilent, ShellFlooded):
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

    def is_reachable(self) -> bool:
        """Tell whether the far side answers at all; a connection over which nothing comes is given up."""
        transport = self.connection.transport()
        channel = None
        until = time.monotonic() + PROBE_SECONDS + _GRACE_SECONDS
        with suppress(*BROKEN), self.watch.over(transport, until):
            channel = transport.open_session(timeout=PROBE_SECONDS)
        if channel is None:
            self.connection.lost(transport)
            return False
        channel.close()
        return True

    def close(self) -> None:
        """End those that nobody uses."""
        with self._changed:
            idle, self._idle = self._idle, []
        for _, shell in idle:
            shell.close()

    def _take(self, until: float) -> tuple[paramiko.Transport, Shell]:
        transport = self.connection.transport()
        with self._changed:
            while not (found := self._usable(transport)) and self._out >= self._most:
                if not self._changed.wait(max(until - time.monotonic(), 0.0)):
                    msg = (
                        f"{self.connection.name}: all {self._most} shells were busy for too long: "
                        "other commands hang there; it is tried again"
                    )
                    raise HostUnreachable(msg)
            self._out += 1
        if found:
            return transport, found
        try:
            return transport, self._start(transport)
        except BaseException:
            with self._changed:
                self._out -= 1
                self._changed.notify()
            raise

    def _usable(self, transport: paramiko.Transport) -> Shell | None:
        """Return the shell that was used last, so that few are needed."""
        while self._idle:
            of, shell = self._idle.pop()
            if of is transport and shell.usable:
                return shell
            shell.close()
        return None

    def _start(self, transport: paramiko.Transport) -> Shell:
        try:
            with self.watch.over(transport, time.monotonic() + START_SECONDS + _GRACE_SECONDS):
                return Shell.start(transport, login=self._login, opening=self._opening)
        except ShellGone as error:
            if not transport.is_active():
                self.connection.lost(transport)
            msg = f"{self.connection.name}: {error}; it is tried again"
            raise HostUnreachable(msg) from error

    def _give_back(self, transport: paramiko.Transport, shell: Shell) -> None:
        with self._changed:
            self._out -= 1
            if shell.usable:
                self._idle.append((transport, shell))
            self._changed.notify()
        if not shell.usable:
            shell.close()
        if not transport.is_active():
            self.connection.lost(transport)
