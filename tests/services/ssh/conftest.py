"""Fixtures of the tests on real ssh servers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobferry_common.models.profiles import SshProfile
from jobferry_worker.hosts.ssh.backoff import Patience
from jobferry_worker.hosts.ssh.connect import Connection
from tests.services.ssh.connecting import HASTY
from tests.testbed.sshd import SshServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


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
