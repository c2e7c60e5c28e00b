"""The connection of an account, on a real sshd: trusted, shared, lost and found again."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobferry_common.errors import HostKeyRefused, LoginRefused
from jobferry_common.models.profiles import SshProfile
from jobferry_worker.hosts.ssh.backoff import Patience
from jobferry_worker.hosts.ssh.connect import Connection, close_all, connection_of
from tests.services.ssh.connecting import problem, reached, refusal, said
from tests.testbed.processes import checked, wait_until
from tests.testbed.sshd import SshServer, make_key

if TYPE_CHECKING:
    from collections.abc import Callable

    import paramiko

pytestmark = pytest.mark.needs("sshd")


def test_a_key_opens_the_connection(known: Path, connect: Callable[..., Connection]) -> None:
    connection = connect()
    assert said(connection.transport()) == "hello\n"
    assert connection.transport() is connection.transport()
    assert connection.transport().local_cipher == "aes128-gcm@openssh.com"


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
    wait_until(lambda: reached(connection), "it is there again")
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


def test_an_unknown_host_is_refused_with_its_fingerprint(
    server: SshServer, home: Path, connect: Callable[..., Connection]
) -> None:
    """A defect of DPDispatcher: host keys are never checked."""
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


def test_one_login_serves_many_channels(
    known: Path, server: SshServer, connect: Callable[..., Connection]
) -> None:
    connection = connect()
    assert [said(connection.transport(), f"echo {number}") for number in range(5)] == [
        f"{number}\n" for number in range(5)
    ]
    assert server.log().count("Accepted publickey") == 1


def test_an_alias_of_the_configuration_is_enough(
    known: Path, server: SshServer, connect: Callable[..., Connection]
) -> None:
    """A defect of DPDispatcher: `~/.ssh/config` is not read."""
    (known.parent / "config").write_text(
        f"""
Host hpc1
  HostName {server.address}
  Port {server.port}
  IdentityFile {server.key}
  IdentitiesOnly yes
"""
    )
    connection = connect(hostname="hpc1", port=None, key_filename=None)
    assert connection.name.endswith(f"@127.0.0.1:{server.port}")
    assert said(connection.transport()) == "hello\n"


def test_a_host_that_is_known_by_its_second_key_is_known(
    known: Path, server: SshServer, connect: Callable[..., Connection]
) -> None:
    for kind in ("ecdsa", "ed25519"):
        known.write_text(f"{server.where} {server.public(kind)}")
        assert connect().transport().is_authenticated()


def test_a_changed_host_key_is_refused_until_it_is_mended(
    known: Path, server: SshServer, connect: Callable[..., Connection]
) -> None:
    connection = connect(host_key_policy="accept-new")
    connection.transport()
    for kind in ("ecdsa", "ed25519"):
        server.change_host_key(kind)
    server.crash()
    server.start()
    wait_until(lambda: "has changed" in problem(connection), "it is refused")
    assert f"{known}:" in problem(connection)
    assert server.log().count("Accepted publickey") == 1
    known.write_text(server.known_hosts.read_text())
    wait_until(lambda: reached(connection), "it is there again")


def test_a_new_host_is_accepted_once_on_request(
    server: SshServer, home: Path, connect: Callable[..., Connection]
) -> None:
    assert connect(host_key_policy="accept-new").transport().is_authenticated()
    file = home / ".ssh" / "known_hosts"
    assert file.stat().st_mode & 0o777 == 0o600
    assert connect(host_key_policy="strict").transport().is_authenticated()
    options = ("-F", "none", "-o", f"UserKnownHostsFile={file}", "-o", "BatchMode=yes")
    ssh = ["ssh", *options, "-i", str(server.key), "-p", str(server.port), server.address, "true"]
    checked(ssh)


def test_a_host_with_a_certificate_is_known_by_its_plain_key(
    known: Path, tmp_path: Path, connect: Callable[..., Connection]
) -> None:
    authority = make_key(tmp_path / "authority")
    directory = tmp_path / "certified"
    directory.mkdir()
    key = make_key(directory / "host_ed25519_key")
    checked(["ssh-keygen", "-q", "-s", str(authority), "-I", "host", "-h", str(key)])
    options = {"HostCertificate": f"{directory}/host_ed25519_key-cert.pub"}
    line = f"@cert-authority * {(tmp_path / 'authority.pub').read_text()}"
    with SshServer(directory, options=options) as server:
        given = {"port": server.port, "key_filename": str(server.key)}
        known.write_text(line)
        assert "certificates of hosts cannot be checked" in refusal(connect(**given))
        known.write_text(line + server.known_hosts.read_text())
        transport = connect(**given).transport()
        assert (transport.is_authenticated(), transport.host_key_type) == (True, "ssh-ed25519")


def test_a_key_that_was_taken_away_and_given_back(
    known: Path, server: SshServer, connect: Callable[..., Connection]
) -> None:
    connection = connect()
    first = connection.transport()
    admitted = server.authorized_keys.read_text()
    server.authorized_keys.write_text("")
    assert said(first) == "hello\n"
    connection.lost(first)
    assert "does not let the worker's user in" in refusal(connection)
    server.authorized_keys.write_text(admitted)
    wait_until(lambda: reached(connection), "it is let in again")


def test_nothing_is_left_open_by_attempts_that_fail(
    known: Path, server: SshServer, connect: Callable[..., Connection]
) -> None:
    connection = connect(key_filename=str(make_key(known.parent / "other")))
    before = _open_files()
    for _ in range(5):
        connection._backoff._next = 0.0
        refusal(connection)
    assert connection.attempts == 5
    wait_until(lambda: _open_files() <= before, "all is closed")


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("form", ["text", "list", "nothing"])
def test_a_key_that_a_file_revokes_is_refused(
    known: Path, server: SshServer, connect: Callable[..., Connection], form: str
) -> None:
    revoked = known.parent / "revoked"
    (known.parent / "config").write_text("RevokedHostKeys ~/.ssh/revoked\n")
    keys = [server.host_key(kind).with_suffix(".pub") for kind in ("ecdsa", "ed25519")]
    if form == "text":
        revoked.write_text("# stolen\n\n" + "".join(key.read_text() for key in keys))
    elif form == "list":
        checked(["ssh-keygen", "-q", "-k", "-f", str(revoked), *map(str, keys)])
    connection = connect()
    words = "cannot be looked up" if form == "nothing" else f"is revoked by {revoked}"
    assert words in refusal(connection)
    assert "Accepted" not in server.log()
    other = make_key(known.parent / "other").with_suffix(".pub")
    if form == "list":
        revoked.unlink()
        checked(["ssh-keygen", "-q", "-k", "-f", str(revoked), str(other)])
    else:
        revoked.write_text(other.read_text())
    wait_until(lambda: reached(connection), "it is believed again")
