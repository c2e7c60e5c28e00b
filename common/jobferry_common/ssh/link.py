"""One link to a host: over the hosts on the way, its key checked, the user logged in.

link = link_to(login, Codes())
link.transport.open_session()
link.close()
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import paramiko

from jobferry_common.errors import HostUnreachable
from jobferry_common.ssh import secrets
from jobferry_common.ssh.hostkeys import HostKeys
from jobferry_common.ssh.login import authenticate
from jobferry_common.ssh.way import ProxySocket, program_of, straight, through_command, through_host

if TYPE_CHECKING:
    import socket

    from jobferry_common.ssh.config import Login
    from jobferry_common.ssh.totp import Codes

logger: Final = logging.getLogger(__name__)

#: paramiko logs a traceback for each refused connection, and we say in words what is wrong
_LOG: Final = f"{__name__}.paramiko"
logging.getLogger(_LOG).setLevel(logging.CRITICAL)
#: they need half as much of this process as the others do, because they need no digest besides
_LIGHT: Final = frozenset({"aes128-gcm@openssh.com", "aes256-gcm@openssh.com"})
#: a server may look up names, or wait on purpose after a wrong password
_AUTH_SECONDS: Final = 60.0
_CHANNEL_SECONDS: Final = 60.0
#: after which a login to a host that does not answer any more has surely ended
LOGIN_SECONDS: Final = 2 * _AUTH_SECONDS


class Link:
    """A transport, and those of the hosts before it."""

    def __init__(self) -> None:
        self._transports: list[paramiko.Transport] = []

    @property
    def transport(self) -> paramiko.Transport:
        """The transport to the host that is meant."""
        return self._transports[-1]

    def lives(self) -> bool:
        """Return whether all of it still stands, as far as it is known."""
        return all(one.is_active() and one.is_authenticated() for one in self._transports)

    def extend(self, login: Login, codes: Codes) -> None:
        """Go one host further.

        Raises:
            HostUnreachable: it does not answer, is not trusted, or does not let the user in.
        """
        if self._transports:
            sock: socket.socket | paramiko.Channel = through_host(self.transport, login)
        elif login.proxy_command:
            sock = through_command(login, login.proxy_command)
        else:
            sock = straight(login)
        try:
            transport = paramiko.Transport(sock)
        except BaseException:
            sock.close()
            raise
        self._transports.append(transport)
        _prepare(transport, login, sock)
        authenticate(transport, login, codes)
        transport.set_keepalive(int(login.keepalive_seconds))

    def close(self) -> None:
        """End it, the nearest host last."""
        for transport in reversed(self._transports):
            transport.close()
            with suppress(OSError):
                transport.sock.close()


def link_to(login: Login, codes: Codes) -> Link:
    """Return a link to a host.

    Raises:
        HostUnreachable: with words and the next step; nothing is left open.
    """
    link = Link()
    try:
        for hop in (*login.jumps, login):
            link.extend(hop, codes)
    except HostUnreachable as error:
        link.close()
        raise type(error)(secrets.hidden(str(error), login)) from None
    except BaseException:
        link.close()
        raise
    return link


def _prepare(
    transport: paramiko.Transport, login: Login, sock: socket.socket | paramiko.Channel
) -> None:
    """Agree on keys with a host, and make sure that it is the one that is meant."""
    transport.set_log_channel(_LOG)
    transport.banner_timeout = transport.handshake_timeout = login.timeout_seconds
    transport.auth_timeout, transport.channel_timeout = _AUTH_SECONDS, _CHANNEL_SECONDS
    keys = HostKeys(login.trust, login.by_hand)
    options = transport.get_security_options()
    options.key_types = keys.preferred(options.key_types)
    options.ciphers = sorted(options.ciphers, key=lambda name: name not in _LIGHT)
    started = time.monotonic()
    try:
        transport.start_client(timeout=2 * login.timeout_seconds)
        shown = transport.get_remote_server_key()
    except paramiko.ssh_exception.IncompatiblePeer as error:
        why = f"it offers nothing that is still thought safe: {error}"
    except (paramiko.SSHException, EOFError, OSError) as error:
        why = _why(error, login, time.monotonic() - started)
    else:
        keys.check(shown)
        return
    if isinstance(sock, ProxySocket):
        why = f"{why}; ProxyCommand {program_of(login.proxy_command or '')} said: {sock.said().strip() or 'nothing'}"
    msg = f"{login.name} answers, and no connection came about: {why}"
    raise HostUnreachable(msg)


def _why(error: Exception, login: Login, waited: float) -> str:
    text = str(error)
    if "banner" in text:
        seconds = login.timeout_seconds
        if waited < seconds:
            return (
                "it closed the connection and did not greet as an ssh server does; is it the right port? Or do too "
                "many log in there at once (MaxStartups)? It is tried again"
            )
        return (
            f"no greeting of an ssh server within {seconds:.0f} s; is it the right port? (timeout)"
        )
    if isinstance(error, EOFError) or not text:
        return "it closed the connection"
    return text
