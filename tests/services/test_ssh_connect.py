"""The connection of an account, on a real sshd: found, trusted, logged in, lost and found again."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from jobferry_common.errors import HostKeyRefused, HostUnreachable, LoginRefused
from jobferry_common.models.profiles import SshProfile
from jobferry_worker.hosts.ssh.backoff import Patience
from jobferry_worker.hosts.ssh.connect import Connection, close_all, connection_of
from tests.testbed.processes import wait_until
from tests.testbed.sshd import SshServer, make_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import paramiko

pytestmark = pytest.mark.needs("sshd")

#: tests do not want to wait for minutes
HASTY = Patience(
    first_seconds=0.01, most_seconds=0.05, first_refused_seconds=0.01, most_refused_seconds=0.05
)


@pytest.fixture(autouse=True)
def no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshServer]:
    """A server of the test's own."""
    with SshServer(tmp_path / "sshd", host_keys=("ecdsa", "ed25519")) as server:
        yield server


@pytest.fixture
def known(server: SshServer, home: Path) -> Path:
    """The user's known_hosts, in which the server stands."""
    ssh = home / ".ssh"
    ssh.mkdir(mode=0o700)
    file = ssh / "known_hosts"
    file.write_text(server.known_hosts.read_text())
    return file


@pytest.fixture
def connect(server: SshServer) -> Iterator[Callable[..., Connection]]:
    """A function that makes a connection to the server; keywords are keys of its profile."""
    made: list[Connection] = []

    def make(patience: Patience = HASTY, **profile: object) -> Connection:
        given = {
            "hostname": server.address,
            "port": server.port,
            "key_filename": str(server.key),
            **profile,
        }
        kept = {key: value for key, value in given.items() if value is not None}
        made.append(Connection(SshProfile.load_from_dict(kept), patience))
        return made[-1]

    yield make
    for connection in made:
        connection.close()


def said(transport: paramiko.Transport, command: str = "echo hello") -> str:
    """Return what a command prints there."""
    channel = transport.open_session()
    channel.exec_command(command)
    with channel.makefile("rb") as output:
        return output.read().decode()


def refusal(connection: Connection) -> str:
    with pytest.raises(HostUnreachable) as caught:
        connection.transport()
    return str(caught.value)


def test_a_key_opens_the_connection(known: Path, connect: Callable[..., Connection]) -> None:
    connection = connect()
    assert said(connection.transport()) == "hello\n"
    assert connection.transport() is connection.transport()


def test_many_threads_make_one_connection(known: Path, connect: Callable[..., Connection]) -> None:
    connection = connect()
    found: list[paramiko.Transport] = []
    threads = [
        threading.Thread(target=lambda: found.append(connection.transport())) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 20
    assert len(set(map(id, found))) == 1
    assert connection.attempts == 1


def test_many_threads_fail_with_one_attempt(
    known: Path, server: SshServer, connect: Callable[..., Connection]
) -> None:
    connection = connect(Patience(), key_filename=str(make_key(known.parent / "other")))
    threads = [threading.Thread(target=refusal, args=(connection,)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert connection.attempts == 1
    assert "The next attempt is in" in refusal(connection)


def test_a_lost_connection_is_opened_anew(
    known: Path, server: SshServer, connect: Callable[..., Connection]
) -> None:
    connection = connect()
    first = connection.transport()
    server.crash()
    wait_until(lambda: not first.is_active(), "the transport noticed")
    assert "Connection refused" in refusal(connection)
    server.start()
    known.write_text(server.known_hosts.read_text())
    wait_until(lambda: _reached(connection), "it is there again")
    assert said(connection.transport()) == "hello\n"


def test_what_the_caller_found_dead_is_closed(
    known: Path, connect: Callable[..., Connection]
) -> None:
    connection = connect()
    first = connection.transport()
    connection.lost(first)
    assert not first.is_active()
    second = connection.transport()
    connection.lost(first)
    assert connection.transport() is second


def _reached(connection: Connection) -> paramiko.Transport | None:
    try:
        return connection.transport()
    except HostUnreachable:
        return None


def test_an_unknown_host_is_refused_with_its_fingerprint(
    server: SshServer, home: Path, connect: Callable[..., Connection]
) -> None:
    with pytest.raises(HostKeyRefused) as caught:
        connect().transport()
    assert "SHA256:" in str(caught.value)
    assert f"ssh-keyscan -p {server.port} 127.0.0.1" in str(caught.value)


def test_a_refused_key_is_told_in_words(
    known: Path, connect: Callable[..., Connection], tmp_path: Path
) -> None:
    other = make_key(tmp_path / "other")
    with pytest.raises(LoginRefused) as caught:
        connect(key_filename=str(other)).transport()
    assert str(other) in str(caught.value)


def test_profiles_of_one_account_share_a_connection(known: Path, server: SshServer) -> None:
    one = SshProfile(hostname="127.0.0.1", port=server.port, key_filename=str(server.key))
    two = SshProfile(
        hostname="127.0.0.1", port=server.port, key_filename=str(server.key), timeout=3
    )
    other = SshProfile(hostname="127.0.0.1", port=server.port, username="somebody")
    try:
        assert connection_of(one) is connection_of(two)
        assert connection_of(one) is not connection_of(other)
    finally:
        close_all()
