"""Ways to a real sshd: over gates, through commands, by IPv6."""

from __future__ import annotations

import getpass
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobferry_common.models.profiles import SshProfile
from jobferry_worker.hosts.ssh.connect import Connection
from tests.services.ssh.connecting import HASTY, problem, refusal, said
from tests.testbed.processes import checked, wait_until
from tests.testbed.sshd import SshServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


pytestmark = pytest.mark.needs("sshd")


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
    wait_until(lambda: "cannot be reached" in problem(connection), "the gate is gone")


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


def test_a_server_that_says_nothing_counts_as_unreachable(
    known: Path, connect: Callable[..., Connection]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection = connect(port=listener.getsockname()[1], timeout=0.5)
        assert "no greeting of an ssh server within" in refusal(connection)


def test_the_arguments_of_a_command_and_a_secret_that_it_says_are_not_told(
    known: Path, connect: Callable[..., Connection]
) -> None:
    command = "sh -c 'echo \"cannot open door with hunter2\" >&2' x --token=swordfish"
    text = refusal(connect(proxy_command=command, password="hunter2"))
    assert "ProxyCommand sh said: cannot open door with ***" in text
    assert "hunter2" not in text
    assert "swordfish" not in text


def test_a_server_that_hangs_up_at_once_is_not_called_silent(
    known: Path, connect: Callable[..., Connection]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            listener.accept()[0].close()

        hanging_up = threading.Thread(target=hang_up)
        hanging_up.start()
        text = refusal(connect(port=listener.getsockname()[1], timeout=60))
        hanging_up.join()
    assert "it closed the connection" in text
    assert "MaxStartups" in text
