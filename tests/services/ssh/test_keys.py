"""Keys on a real sshd: of every form, of an agent, with a certificate."""

from __future__ import annotations

import getpass
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobferry_common.models.profiles import SshProfile
from jobferry_common.ssh.config import login_of
from jobferry_worker.hosts.ssh.backoff import Patience
from jobferry_worker.hosts.ssh.connect import Connection
from jobferry_worker.hosts.ssh.mended import marks_of
from tests.services.ssh.connecting import refusal
from tests.testbed.processes import Process, checked, run, wait_until
from tests.testbed.sshd import SshServer, make_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


pytestmark = pytest.mark.needs("sshd")


LONG = Patience(first_refused_seconds=3600.0, most_refused_seconds=3600.0)
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


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o601])
def test_a_key_that_others_can_read_is_not_used(
    known: Path, server: SshServer, connect: Callable[..., Connection], mode: int
) -> None:
    key = make_key(known.parent / "id")
    admit(server, key)
    key.chmod(mode)
    connection = connect(LONG, key_filename="~/.ssh/id")
    text = refusal(connection)
    assert (
        f"{key} is not used, because others can read it (mode {mode:04o}): chmod 600 {key}" in text
    )
    assert "UNPROTECTED PRIVATE KEY FILE" in run(["ssh-keygen", "-y", "-f", str(key)]).stderr
    key.chmod(0o600)
    # nobody has to wait for the end of a long pause
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


def test_a_key_that_is_loaded_into_the_agent_is_worth_another_attempt(
    known: Path, agent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
    login = login_of(SshProfile(hostname="hpc1"))
    before = marks_of(login)
    assert marks_of(login) == before
    add_to(agent, make_key(known.parent / "other"))
    assert marks_of(login) != before


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
    key = make_key(known.parent / "id")
    with certified(known, tmp_path) as (server, sign):
        sign(key, "-n", getpass.getuser())
        connection = connect(port=server.port, key_filename=str(key))
        assert connection.transport().is_authenticated()
        (known.parent / "id-cert.pub").unlink()
        assert "does not let" in refusal(connect(port=server.port, key_filename=str(key)))


@contextmanager
def certified(known: Path, tmp_path: Path) -> Iterator[tuple[SshServer, Callable[..., None]]]:
    """A server that believes an authority, and what has the authority sign keys."""
    authority = make_key(tmp_path / "authority")

    def sign(key: Path, *words: str) -> None:
        checked(["ssh-keygen", "-q", "-s", str(authority), "-I", "me", *words, str(key)])

    options = {"TrustedUserCAKeys": f"{authority}.pub"}
    with SshServer(tmp_path / "certified", options=options) as server:
        known.write_text(server.known_hosts.read_text())
        yield server, sign


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (("-n", "ME", "-V", "20200101:20200102"), "expired on 2020-01-"),
        (("-n", "ME", "-V", "20990101:20990102"), "is not valid before 20"),
        (("-n", "bob,carol"), "is for bob, carol and not for ME; have the key signed for ME"),
        (("-n", "ME", "-h"), "is one of a host"),
    ],
)
def test_a_certificate_that_the_server_does_not_take_is_told(
    known: Path,
    tmp_path: Path,
    connect: Callable[..., Connection],
    how: tuple[str, ...],
    words: str,
) -> None:
    me = getpass.getuser()
    key = make_key(known.parent / "id")
    with certified(known, tmp_path) as (server, sign):
        sign(key, *(word.replace("ME", me) for word in how))
        connection = connect(LONG, port=server.port, key_filename=str(key))
        assert f"the certificate {key}-cert.pub {words.replace('ME', me)}" in refusal(connection)
        sign(key, "-n", me)
        # nobody has to wait for the end of a long pause
        assert connection.transport().is_authenticated()


def test_a_certificate_of_another_key_is_not_shown(
    known: Path, tmp_path: Path, connect: Callable[..., Connection]
) -> None:
    key, other = make_key(known.parent / "id"), make_key(known.parent / "other")
    with certified(known, tmp_path) as (server, sign):
        sign(other, "-n", getpass.getuser())
        certificate = known.parent / "other-cert.pub"
        certificate.rename(known.parent / "id-cert.pub")
        text = refusal(connect(port=server.port, key_filename=str(key)))
        assert f"{key}-cert.pub is of another key" in text
        assert f"{key} with" not in text


@pytest.mark.parametrize("which", ["id", "id.pub", "id-cert.pub"])
@pytest.mark.parametrize("kind", ["pipe", "directory", "device"])
def test_what_is_no_file_is_told_and_not_waited_for(
    known: Path, connect: Callable[..., Connection], which: str, kind: str
) -> None:
    key = make_key(known.parent / "id")
    path = known.parent / which
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path, 0o600)
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    text = refusal(connect(key_filename=str(key)))
    told = {"id": f"{path} ", "id.pub": "", "id-cert.pub": f"the certificate {path} "}[which]
    reason = "cannot be read: Is a directory" if kind == "directory" else "is no regular file"
    assert (f"{told}{reason}" in text) is bool(told)
