"""An ssh server that asks what a test wants: passwords and questions, which sshd cannot without PAM and real users.

    with StandIn(password="geheim", rounds=[[("Verification code: ", is_code)]]) as server:
        server.port, server.known_hosts

It is paramiko's own server side. Sessions run their command with /bin/sh; nothing else of sshd is there.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from typing import TYPE_CHECKING, Self

import paramiko

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    #: a prompt, and what judges the answer
    Question = tuple[str, Callable[[str], bool]]

_GOOD = paramiko.common.AUTH_SUCCESSFUL
_PART = paramiko.common.AUTH_PARTIALLY_SUCCESSFUL
_BAD = paramiko.common.AUTH_FAILED


class StandIn:
    """A server on the loopback.

    Args:
        password: what the method "password" takes; None: it is not offered.
        rounds: what keyboard-interactive asks, one list a message; empty: it is not offered.
        key: base64 of the public key that is taken; None: keys are not offered.
        chain: the methods that have to succeed one after the other; empty: any one is enough.
    """

    def __init__(
        self,
        *,
        password: str | None = None,
        rounds: Sequence[Sequence[Question]] = (),
        key: str | None = None,
        chain: Sequence[str] = (),
    ) -> None:
        self.password = password
        self.rounds = rounds
        self.key = key
        self.chain = tuple(chain)
        #: every answer and password that arrived
        self.heard: list[str] = []
        #: connections so far
        self.connections = 0
        self._host_key = paramiko.ECDSAKey.generate()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._transports: list[paramiko.Transport] = []
        self._thread = threading.Thread(target=self._serve)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    @property
    def known_hosts(self) -> str:
        """Its line of known_hosts."""
        key = self._host_key
        return f"[127.0.0.1]:{self.port} {key.get_name()} {key.get_base64()}\n"

    @property
    def offered(self) -> list[str]:
        """The methods that it has."""
        return [
            name
            for name, there in (
                ("publickey", self.key),
                ("keyboard-interactive", self.rounds),
                ("password", self.password),
            )
            if there
        ]

    def __enter__(self) -> Self:
        """Start it."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End it and all of its connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for transport in self._transports:
            transport.close()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            transport = paramiko.Transport(sock)
            transport.set_log_channel("tests.ssh_stand_in")
            transport.add_server_key(self._host_key)
            self._transports.append(transport)
            with contextlib.suppress(paramiko.SSHException, EOFError):
                transport.start_server(event=threading.Event(), server=_Session(self))


class _Session(paramiko.ServerInterface):
    """One connection."""

    def __init__(self, server: StandIn) -> None:
        self._server = server
        self._left = list(server.chain)
        self._rounds: list[Sequence[Question]] = []

    def get_allowed_auths(self, username: str) -> str:
        return ",".join(self._left[:1] or self._server.offered)

    def check_auth_password(self, username: str, password: str) -> int:
        self._server.heard.append(password)
        return self._judged("password", good=password == self._server.password)

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return self._judged("publickey", good=key.get_base64() == self._server.key)

    def check_auth_interactive(
        self, username: str, submethods: str
    ) -> int | paramiko.server.InteractiveQuery:
        if "keyboard-interactive" not in self.get_allowed_auths(username):
            return _BAD
        self._rounds = list(self._server.rounds)
        return self._query()

    def check_auth_interactive_response(
        self, responses: list[str]
    ) -> int | paramiko.server.InteractiveQuery:
        self._server.heard += responses
        asked = self._rounds.pop(0)
        good = len(responses) == len(asked) and all(
            judge(answer) for (_, judge), answer in zip(asked, responses, strict=True)
        )
        if good and self._rounds:
            return self._query()
        return self._judged("keyboard-interactive", good=good)

    def _query(self) -> paramiko.server.InteractiveQuery:
        query = paramiko.server.InteractiveQuery("", "")
        for prompt, _ in self._rounds[0]:
            query.add_prompt(prompt, echo=False)
        return query

    def _judged(self, method: str, *, good: bool) -> int:
        if not good or method not in self.get_allowed_auths(""):
            return _BAD
        self._left = self._left[1:]
        return _PART if self._left else _GOOD

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.common.OPEN_SUCCEEDED

    def check_channel_shell_request(self, channel: paramiko.Channel) -> bool:
        return self.check_channel_exec_request(channel, b"exec /bin/sh")

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        threading.Thread(target=_run, args=(channel, command.decode()), daemon=True).start()
        return True


def _run(channel: paramiko.Channel, command: str) -> None:
    """Run a command for a session, its streams connected."""
    process = subprocess.Popen(
        ["/bin/sh", "-c", command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    )
    with process:
        feeding = threading.Thread(target=_feed, args=(channel, process), daemon=True)
        feeding.start()
        errors = threading.Thread(
            target=_pump, args=(process.stderr, channel.sendall_stderr), daemon=True
        )
        errors.start()
        _pump(process.stdout, channel.sendall)
        errors.join()
        code = process.wait()
    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        channel.send_exit_status(code)
    channel.close()


def _feed(channel: paramiko.Channel, process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError, EOFError, ValueError):
        while data := channel.recv(65536):
            if process.stdin:
                process.stdin.write(data)
    with contextlib.suppress(OSError):
        if process.stdin:
            process.stdin.close()


def _pump(stream: object, send: Callable[[bytes], None]) -> None:
    read: Callable[[int], bytes] = stream.read  # type: ignore[attr-defined]
    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        while data := read(65536):
            send(data)
