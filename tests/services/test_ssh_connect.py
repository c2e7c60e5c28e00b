"""The connection of an account, on a real sshd: found, trusted, logged in, lost and found again."""

from __future__ import annotations

import getpass
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobferry_common.errors import HostKeyRefused, HostUnreachable, LoginRefused
from jobferry_common.models.profiles import SshProfile
from jobferry_worker.hosts.ssh.backoff import Patience
from jobferry_worker.hosts.ssh.connect import Connection, close_all, connection_of
from tests.testbed.processes import Process, checked, wait_until
from tests.testbed.sshd import SshServer, make_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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


def test_an_ipv6_address_is_reached(tmp_path: Path, home: Path) -> None:
    with SshServer(tmp_path / "six", address="::1") as server:
        (home / ".ssh").mkdir()
        (home / ".ssh" / "known_hosts").write_text(server.known_hosts.read_text())
        hostname = f"[::1]:{server.port}"
        profile = SshProfile(hostname=hostname, key_filename=str(server.key))
        connection = Connection(profile, HASTY)
        assert connection.name.endswith(f"@[::1]:{server.port}")
        assert said(connection.transport()) == "hello\n"
        connection.close()


FORMS = [
    (kind, form, passphrase)
    for kind in ("rsa", "ecdsa", "ed25519")
    for form in ("RFC4716", "PEM", "PKCS8")
    for passphrase in ("", "geheim")
    if kind != "ed25519" or form == "RFC4716"
]


@pytest.mark.parametrize(("kind", "form", "passphrase"), FORMS)
def test_keys_of_every_form_are_taken(
    known: Path,
    server: SshServer,
    connect: Callable[..., Connection],
    kind: str,
    form: str,
    passphrase: str,
) -> None:
    key = make_key(known.parent / "id", kind, passphrase, "-m", form)
    admit(server, key)
    given = {"passphrase": passphrase} if passphrase else {}
    connection = connect(key_filename="~/.ssh/id", **given)
    assert connection.transport().is_authenticated()


def admit(server: SshServer, key: Path) -> None:
    with server.authorized_keys.open("a") as file:
        file.write(key.with_suffix(".pub").read_text())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "is encrypted: set passphrase"),
        ({"passphrase": "falsch"}, "the passphrase is wrong"),
        ({"passphrase": "env:NO"}, "no variable NO"),
    ],
)
def test_a_key_that_cannot_be_opened_is_told(
    known: Path, connect: Callable[..., Connection], given: dict[str, str], words: str
) -> None:
    make_key(known.parent / "id", "ed25519", "geheim")
    text = refusal(connect(key_filename="~/.ssh/id", **given))
    assert words in text
    assert str(known.parent / "id") in text
    assert "falsch" not in text


def test_a_key_is_found_where_it_usually_lies(
    known: Path, server: SshServer, connect: Callable[..., Connection]
) -> None:
    admit(server, make_key(known.parent / "id_ed25519"))
    assert connect(key_filename=None).transport().is_authenticated()
    assert "nothing to try" in refusal(connect(key_filename=None, look_for_keys=False))


@pytest.fixture
def agent(short_path: Path) -> Iterator[Path]:
    """The socket of an agent that holds no key yet."""
    sock = short_path / "agent"
    process = Process(["ssh-agent", "-D", "-a", str(sock)], log=short_path / "log")
    wait_until(sock.exists, "the agent listens")
    yield sock
    process.stop()


def add_to(agent: Path, key: Path) -> None:
    checked(["ssh-add", "-q", str(key)], env={"SSH_AUTH_SOCK": str(agent), "PATH": "/usr/bin:/bin"})


def test_the_agent_signs(
    known: Path,
    server: SshServer,
    connect: Callable[..., Connection],
    agent: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add_to(agent, make_key(known.parent / "other"))
    add_to(agent, server.key)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
    assert connect(key_filename=None).transport().is_authenticated()


def test_a_named_key_comes_before_the_many_of_an_agent(
    known: Path, server: SshServer, connect: Callable[..., Connection], agent: Path
) -> None:
    for number in range(8):
        add_to(agent, make_key(known.parent / f"other{number}"))
    (known.parent / "config").write_text(f"IdentityAgent {agent}\n")
    assert connect().transport().is_authenticated()
    text = refusal(connect(key_filename=None))
    assert "too many keys? Name the right one" in text


def test_the_agent_opens_a_key_that_is_encrypted(
    known: Path, server: SshServer, connect: Callable[..., Connection], agent: Path
) -> None:
    add_to(agent, server.key)
    checked(["ssh-keygen", "-q", "-p", "-N", "geheim", "-f", str(server.key)])
    (known.parent / "config").write_text(f"IdentityAgent {agent}\nIdentitiesOnly yes\n")
    assert connect().transport().is_authenticated()


def test_a_certificate_of_the_user_is_shown(
    known: Path, tmp_path: Path, connect: Callable[..., Connection]
) -> None:
    authority = make_key(tmp_path / "authority")
    key = make_key(known.parent / "id")
    me = getpass.getuser()
    checked(["ssh-keygen", "-q", "-s", str(authority), "-I", "me", "-n", me, str(key)])
    options = {"TrustedUserCAKeys": f"{authority}.pub"}
    with SshServer(tmp_path / "certified", options=options) as server:
        known.write_text(server.known_hosts.read_text())
        connection = connect(port=server.port, key_filename=str(key))
        assert connection.transport().is_authenticated()
        (known.parent / "id-cert.pub").unlink()
        assert "does not let" in refusal(connect(port=server.port, key_filename=str(key)))


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
    wait_until(lambda: "has changed" in _problem(connection), "it is refused")
    assert f"{known}:" in _problem(connection)
    assert server.log().count("Accepted publickey") == 1
    known.write_text(server.known_hosts.read_text())
    wait_until(lambda: _reached(connection), "it is there again")


def _problem(connection: Connection) -> str:
    try:
        connection.transport()
    except HostUnreachable as error:
        return str(error)
    return ""


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
        assert connect(**given).transport().is_authenticated()


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
    wait_until(lambda: _reached(connection), "it is let in again")


@pytest.fixture
def gate(tmp_path: Path, known: Path) -> Iterator[SshServer]:
    """Another server, which is known as well."""
    with SshServer(tmp_path / "gate") as gate:
        with known.open("a") as file:
            file.write(gate.known_hosts.read_text())
        yield gate


def test_a_host_behind_others_is_reached(
    known: Path, server: SshServer, gate: SshServer, connect: Callable[..., Connection]
) -> None:
    me = getpass.getuser()
    (known.parent / "config").write_text(
        f"""
Host inner
  ProxyJump outer,{me}@[127.0.0.1]:{gate.port}
  HostName {server.address}
Host outer
  HostName {gate.address}
  Port {gate.port}
Host *
  IdentityFile {gate.key}
"""
    )
    connection = connect(hostname="inner")
    first = connection.transport()
    assert said(first) == "hello\n"
    assert gate.log().count("Accepted publickey") == 2
    connection.lost(first)
    assert said(connection.transport()) == "hello\n"


def test_a_gate_that_is_not_the_one_that_was_meant_ends_the_way(
    known: Path, server: SshServer, gate: SshServer, connect: Callable[..., Connection]
) -> None:
    (known.parent / "config").write_text(
        f"Host inner\n  HostName {server.address}\n  ProxyJump {gate.address}:{gate.port}\n"
        f"Host *\n  IdentityFile {gate.key}\n"
    )
    gate.change_host_key()
    gate.crash()
    gate.start()
    connection = connect(hostname="inner", password="geheim")
    text = refusal(connection)
    assert f"the host key of {gate.where}" in text
    assert "has changed" in text
    gate.stop()
    wait_until(lambda: "cannot be reached" in _problem(connection), "the gate is gone")


def test_a_gate_that_cannot_reach_the_host_is_told(
    known: Path, server: SshServer, gate: SshServer, connect: Callable[..., Connection]
) -> None:
    (known.parent / "config").write_text(
        f"Host inner\n  HostName {server.address}\n  ProxyJump {gate.address}:{gate.port}\n"
        f"Host *\n  IdentityFile {gate.key}\n"
    )
    server.stop()
    assert "through the host before it" in refusal(connect(hostname="inner"))


@pytest.mark.parametrize("more", ["", " 2>/dev/null"])
def test_a_command_makes_the_way_and_ends_with_it(
    known: Path, gate: SshServer, server: SshServer, connect: Callable[..., Connection], more: str
) -> None:
    ssh = f"ssh -F none -i {gate.key} -o UserKnownHostsFile={known} -p {gate.port}"
    connection = connect(proxy_command=f"{ssh} -W [%h]:%p {gate.address}{more}")
    first = connection.transport()
    assert said(first) == "hello\n"
    mark = f"-W [{server.address}]:{server.port}"
    assert len(_commands(mark)) == 1
    connection.lost(first)
    assert not _commands(mark)


def _commands(mark: str) -> list[str]:
    lines = checked(["ps", "-wweo", "args="]).splitlines()
    return [line for line in lines if mark in line]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("/no/such/program %h", "cannot be started"),
        ("ls /no/such/file", "No such file"),
        ("ls 'x", "cannot be read"),
    ],
)
def test_a_command_that_fails_is_told_with_what_it_said(
    known: Path, connect: Callable[..., Connection], command: str, words: str
) -> None:
    text = refusal(connect(proxy_command=command))
    assert words in text
    assert "ProxyCommand" in text


def test_a_server_that_says_nothing_counts_as_unreachable(
    known: Path, connect: Callable[..., Connection]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection = connect(port=listener.getsockname()[1], timeout=0.5)
        assert "no greeting of an ssh server within" in refusal(connection)


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
