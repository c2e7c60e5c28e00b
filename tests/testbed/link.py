"""A connection to the testbed's sshd by its key, as a host wants it: nothing of settings, of secrets or of trust.

host = SshHost(Link(server))
"""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import paramiko

from jobferry_common.errors import HostUnreachable

if TYPE_CHECKING:
    from tests.testbed.sshd import SshServer


class Link:
    """One connection, opened when it is needed; `opened` counts how often."""

    def __init__(self, server: SshServer, *, port: int = 0, user: str = "root") -> None:
        self.name = f"{user}@127.0.0.1:{port or server.port}"
        self.opened = 0
        self._server = server
        self._port = port or server.port
        self._user = user
        self._transport: paramiko.Transport | None = None
        self._lock = threading.Lock()

    def transport(self) -> paramiko.Transport:
        """Return the one that lives, or a new one."""
        with self._lock:
            if self._transport is None or not self._transport.is_active():
                self._transport = self._open()
                self.opened += 1
            return self._transport

    def _open(self) -> paramiko.Transport:
        try:
            return _authenticated(self._server, self._port, self._user)
        except (OSError, EOFError, paramiko.SSHException) as error:
            msg = f"{self.name} cannot be reached: {error}"
            raise HostUnreachable(msg) from error

    def lost(self, transport: paramiko.Transport) -> None:
        """Close it."""
        transport.close()

    def close(self) -> None:
        """End it."""
        if self._transport:
            self._transport.close()


def _authenticated(server: SshServer, port: int, user: str) -> paramiko.Transport:
    sock = socket.create_connection(("127.0.0.1", port), timeout=10)
    # as jobferry does: a small packet does not wait for the answer to the one before
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    transport = paramiko.Transport(sock)
    transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = 10
    try:
        transport.start_client(timeout=10)
        transport.auth_publickey(user, paramiko.Ed25519Key.from_private_key_file(str(server.key)))
    except BaseException:
        transport.close()
        raise
    return transport
