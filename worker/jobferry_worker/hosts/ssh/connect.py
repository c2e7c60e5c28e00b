"""The one ssh connection of an account, shared by all threads of a worker.

    connection = connection_of(profile.remote_profile)
    connection.name                                 'alice@login.hpc1:22'
    channel = connection.transport().open_session()

It opens itself when it is needed, once, however many threads ask; when it was lost it opens itself anew, later after
each failure. Jobs on the cluster are not concerned.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import HostKeyRefused, HostUnreachable, LoginRefused
from jobferry_common.ssh.config import login_of
from jobferry_common.ssh.link import link_to
from jobferry_common.ssh.totp import Codes, CodeUsed
from jobferry_worker.hosts.ssh.backoff import Backoff, Patience
from jobferry_worker.hosts.ssh.mended import marks_of

if TYPE_CHECKING:
    import paramiko

    from jobferry_common.models.profiles import SshProfile
    from jobferry_common.ssh.config import Login
    from jobferry_common.ssh.link import Link

logger: Final = logging.getLogger(__name__)


class Connection:
    """One ssh connection of an account; opens itself when needed, again with backoff when it was lost."""

    def __init__(self, profile: SshProfile, patience: Patience | None = None) -> None:
        """Take note of a profile; nothing is opened yet.

        Raises:
            HostUnreachable: profile and ~/.ssh/config do not say how it is reached.
        """
        login = login_of(profile)
        self.name = login.name  #: "alice@login.hpc1:22", for messages
        self.user = login.user
        self.account = login.account  #: "alice@login.hpc1"
        #: attempts to open it so far, for tests and figures
        self.attempts = 0
        self._profile = profile
        self._lock = threading.Lock()
        self._codes = Codes()
        self._backoff = Backoff(patience or Patience())
        self._link: Link | None = None
        #: what the last login depended on, if it was refused
        self._marks: tuple[object, ...] | None = None

    def transport(self) -> paramiko.Transport:
        """Return a live, authenticated transport; it is opened if need be.

        Raises:
            HostUnreachable: it cannot be had, with words and the next step. In the time between two attempts this
                is said at once.
        """
        link = self._link
        if link is not None and link.lives():
            return link.transport
        with self._lock:
            return self._opened().transport

    def lost(self, transport: paramiko.Transport) -> None:
        """Close what the caller found dead; the next `transport` opens anew. Of an older one nothing is left to do."""
        if self._has(transport):
            with self._lock:
                if self._has(transport):
                    self._drop("was found dead")

    def close(self) -> None:
        """Close it; the next `transport` opens it anew."""
        with self._lock:
            link, self._link = self._link, None
            if link is not None:
                link.close()

    def _has(self, transport: paramiko.Transport) -> bool:
        link = self._link
        return link is not None and link.transport is transport

    def _opened(self) -> Link:
        if self._link is not None:
            if self._link.lives():
                return self._link
            self._drop("broke")
        if self._backoff.rest() > 0 and not self._mended():
            raise self._backoff.resting()
        link = self._attempt()
        self._backoff.opened()
        self._link = link
        logger.info("Connected to %s.", self.name, extra={"action": "connected"})
        return link

    def _attempt(self) -> Link:
        self._marks = None
        try:
            self._codes.check()
            self.attempts += 1
            # the configuration is read each time: what was wrong in it may have been mended
            login = login_of(self._profile)
            self._marks = marks_of(login)
            return link_to(login, self._codes)
        except HostUnreachable as error:
            if not isinstance(error, LoginRefused | HostKeyRefused) or isinstance(error, CodeUsed):
                self._marks = None
            self._backoff.failed(error)
            raise

    def _mended(self) -> bool:
        """Tell whether somebody changed what the last login was refused for."""
        if self._marks is None:
            return False
        try:
            return marks_of(login_of(self._profile)) != self._marks
        except HostUnreachable:
            return False

    def _drop(self, why: str) -> None:
        link, self._link = self._link, None
        if link is None:
            return
        self._backoff.was_lost(self.name)
        logger.warning("The connection to %s %s.", self.name, why, extra={"action": "disconnected"})
        link.close()


_GUARD: Final = threading.Lock()
_CONNECTIONS: Final[dict[Login, Connection]] = {}


def connection_of(profile: SshProfile, *, patience: Patience | None = None) -> Connection:
    """Return the connection of an account: one in a process for all profiles that reach it in the same way.

    Raises:
        HostUnreachable: profile and ~/.ssh/config do not say how it is reached.
    """
    way = _way(login_of(profile))
    with _GUARD:
        if way not in _CONNECTIONS:
            _CONNECTIONS[way] = Connection(profile, patience)
        return _CONNECTIONS[way]


def close_all() -> None:
    """Close and forget the connections of this process."""
    with _GUARD:
        connections = list(_CONNECTIONS.values())
        _CONNECTIONS.clear()
    for connection in connections:
        connection.close()


def _way(login: Login) -> Login:
    """Return what makes two logins the same; how patient they are is no difference."""
    trust = replace(login.trust, accept_new=False)
    return replace(login, by_hand="", timeout_seconds=0.0, keepalive_seconds=0.0, trust=trust)
