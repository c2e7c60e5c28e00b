"""SshHost on a real sshd: shells that end, hang, print too much or come from a strange login; links that break."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from jobferry_common.files import NewFile
from jobferry_worker.hosts.ssh import SshHost
from tests.testbed.link import Link
from tests.testbed.sshd import SshServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.needs("sshd")

LIMIT = timedelta(seconds=60)
SHORT = timedelta(seconds=0.3)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshServer]:
    """A server of the test's own, which may be stopped."""
    with SshServer(tmp_path / "sshd") as server:
        yield server


@pytest.fixture
def host(server: SshServer) -> Iterator[SshHost]:
    host = SshHost(Link(server))
    yield host
    host.close()


def test_commands_and_files_share_one_connection_and_one_shell(
    server: SshServer, tmp_path: Path
) -> None:
    link = Link(server)
    host = SshHost(link)
    path = str(tmp_path / "file")
    shells = {
        host.run(("sh", "-c", "ps -o ppid= -p $PPID"), limit=LIMIT).checked() for _ in range(5)
    }
    host.write([NewFile(path=path, content=b"x")])
    assert host.read([path]) == {path: b"x"}
    assert len(shells) == 1
    assert link.opened == 1
    host.close()


def test_a_shell_that_was_killed_while_idle_is_replaced(host: SshHost) -> None:
    shell = _shell_of(host)
    os.kill(shell, 9)
    assert host.run(("echo", "again"), limit=LIMIT).checked() == "again\n"
    assert _shell_of(host) != shell


def _shell_of(host: SshHost) -> int:
    """Return the process of the shell at the far side."""
    return int(host.run(("sh", "-c", "ps -o ppid= -p $PPID"), limit=LIMIT).checked())
