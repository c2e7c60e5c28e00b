"""Logging in where the server asks for passwords and codes: on a stand-in, because sshd needs PAM and users for it."""

from __future__ import annotations

import base64
import logging
from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.errors import HostUnreachable, LoginRefused
from jobferry_common.models.profiles import SshProfile
from jobferry_common.ssh.totp import STEP_SECONDS, code_of
from jobferry_worker.hosts.ssh.backoff import Patience
from jobferry_worker.hosts.ssh.connect import Connection
from tests.testbed.ssh_stand_in import StandIn
from tests.testbed.sshd import make_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = b"12345678901234567890"
SECRET = base64.b32encode(KEY).decode()
PASSWORD = "geheim wie nie"


def is_password(text: str) -> bool:
    return text == PASSWORD


def is_code(text: str) -> bool:
    import time

    step = int(time.time() // STEP_SECONDS)
    return text in {code_of(KEY, step), code_of(KEY, step - 1)}


@pytest.fixture
def connect(ssh_home: Path) -> Iterator[Callable[..., Connection]]:
    """A function that makes a connection to a stand-in, which is known already."""
    made: list[Connection] = []

    def make(server: StandIn, **profile: Any) -> Connection:
        (ssh_home / "known_hosts").write_text(server.known_hosts)
        given = {"hostname": "127.0.0.1", "port": server.port, "username": "alice", **profile}
        made.append(Connection(SshProfile.load_from_dict(given), Patience()))
        return made[-1]

    yield make
    for connection in made:
        connection.close()


def refusal(connection: Connection) -> str:
    with pytest.raises(LoginRefused) as caught:
        connection.transport()
    return str(caught.value)


def test_a_password_opens(connect: Callable[..., Connection]) -> None:
    with StandIn(password=PASSWORD) as server:
        assert connect(server, password=PASSWORD).transport().is_authenticated()


@pytest.mark.parametrize(
    "rounds",
    [
        [[("Password: ", is_password)]],
        [[("(alice@hpc1) Password: ", is_password)], []],
        [[("Password: ", is_password)], [("Verification code: ", is_code)]],
        [[("Verification code: ", is_code)], [("Password: ", is_password)]],
        [[("Password: ", is_password), ("One-time password (OATH) for `alice': ", is_code)]],
        [[("密码：", is_password)], [("请输入动态口令: ", is_code)]],
        [[("alice's password: ", is_password)], [("Enter your 2FA token: ", is_code)]],
    ],
)
def test_questions_are_answered_by_what_they_ask(
    connect: Callable[..., Connection], rounds: Any
) -> None:
    with StandIn(rounds=rounds) as server:
        connection = connect(server, password=PASSWORD, totp_secret=SECRET)
        assert connection.transport().is_authenticated()


def test_a_code_alone_answers_whatever_is_asked(connect: Callable[..., Connection]) -> None:
    with StandIn(rounds=[[("Response: ", is_code)]]) as server:
        assert connect(server, totp_secret=SECRET).transport().is_authenticated()


def test_a_key_and_then_a_code(connect: Callable[..., Connection], tmp_path: Path) -> None:
    key = make_key(tmp_path / "key")
    public = key.with_suffix(".pub").read_text().split()[1]
    chain = ("publickey", "keyboard-interactive")
    with StandIn(key=public, rounds=[[("Code: ", is_code)]], chain=chain) as server:
        connection = connect(server, key_filename=str(key), totp_secret=SECRET)
        assert connection.transport().is_authenticated()
    with StandIn(key=public, rounds=[[("Code: ", is_code)]], chain=chain) as server:
        text = refusal(connect(server, key_filename=str(key)))
    assert "it wants keyboard-interactive after publickey" in text


def test_a_key_and_then_a_password(connect: Callable[..., Connection], tmp_path: Path) -> None:
    key = make_key(tmp_path / "key")
    public = key.with_suffix(".pub").read_text().split()[1]
    with StandIn(key=public, password=PASSWORD, chain=("publickey", "password")) as server:
        connection = connect(server, key_filename=str(key), password=PASSWORD)
        assert connection.transport().is_authenticated()


def test_a_code_is_not_sent_twice(connect: Callable[..., Connection]) -> None:
    with StandIn(rounds=[[("Code: ", is_code)]]) as server:
        connection = connect(server, totp_secret=SECRET)
        connection.lost(connection.transport())
        try:
            connection.transport()  # another half minute has begun
        except LoginRefused as error:
            assert "used already" in str(error)
        assert len(set(server.heard)) == len(server.heard)


def test_a_wrong_password_is_told_and_not_tried_again_and_again(
    connect: Callable[..., Connection], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with StandIn(password=PASSWORD) as server:
        connection = connect(server, password="falsch-und-geheim")
        text = refusal(connection)
        assert "alice@127.0.0.1" in text
        assert "it wants password" in text
        assert "tried: the password" in text
        for _ in range(5):
            text += refusal(connection)
        assert server.connections == 1
        assert server.heard == ["falsch-und-geheim"]
    assert "falsch-und-geheim" not in text + caplog.text + repr(connection.__dict__)


def test_a_wrong_password_is_sent_once_however_it_is_asked_for(
    connect: Callable[..., Connection],
) -> None:
    with StandIn(password=PASSWORD, rounds=[[("Password: ", is_password)]]) as server:
        text = refusal(connect(server, password="falsch"))
        assert "answers to its questions" in text
        assert server.heard == ["falsch"]


def test_the_password_is_tried_where_a_question_cannot_be_answered(
    connect: Callable[..., Connection],
) -> None:
    with StandIn(password=PASSWORD, rounds=[[("Code: ", is_code)]]) as server:
        assert connect(server, password=PASSWORD).transport().is_authenticated()


def test_a_question_that_nothing_answers_is_shown(connect: Callable[..., Connection]) -> None:
    with StandIn(rounds=[[("Duo passcode: ", is_code)]]) as server:
        text = refusal(connect(server, password=PASSWORD))
        assert "asks 'Duo passcode:'" in text
        assert "totp_secret" in text
        assert PASSWORD not in server.heard


def test_without_anything_to_give_that_is_told(connect: Callable[..., Connection]) -> None:
    with StandIn(password=PASSWORD) as server:
        assert "there was nothing to try" in refusal(connect(server))


def test_a_reference_that_leads_nowhere_is_told(connect: Callable[..., Connection]) -> None:
    with StandIn(password=PASSWORD) as server:
        assert "no variable HPC1_PASSWORD" in refusal(connect(server, password="env:HPC1_PASSWORD"))


def test_a_secret_is_read_anew_for_each_attempt(
    connect: Callable[..., Connection], tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    file.touch(mode=0o600)
    file.write_text("falsch")
    with StandIn(password=PASSWORD) as server:
        connection = connect(server, password=f"file:{file}")
        refusal(connection)
        refusal(connection)
        assert connection.attempts == 1
        file.write_text(PASSWORD)
        assert connection.transport().is_authenticated()


def test_what_is_no_ssh_server_is_told(connect: Callable[..., Connection]) -> None:
    import socket
    import threading

    with StandIn(password=PASSWORD) as known, socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            sock, _ = listener.accept()
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            sock.close()

        thread = threading.Thread(target=answer)
        thread.start()
        connection = connect(known, port=listener.getsockname()[1])
        with pytest.raises(HostUnreachable, match="no connection came about"):
            connection.transport()
        thread.join()


def test_a_name_that_nobody_knows_is_told(connect: Callable[..., Connection]) -> None:
    with StandIn(password=PASSWORD) as server:
        connection = connect(server, hostname="no-such-host.invalid")
        with pytest.raises(HostUnreachable, match="nobody knows the address"):
            connection.transport()


@pytest.mark.parametrize("password", [PASSWORD, "it's \\ 'quoted'\""])
def test_a_server_that_repeats_what_it_was_given_gets_it_into_no_message(
    connect: Callable[..., Connection], password: str
) -> None:
    first = [("Password: ", lambda _: True)]
    second = [(f"{password!r} accepted, {password} too; Verification code: ", is_code)]
    with StandIn(rounds=[first, second]) as server:
        text = refusal(connect(server, password=password))
    assert "accepted, *** too; Verification code:" in text
    assert password not in text
    assert repr(password)[1:-1] not in text
