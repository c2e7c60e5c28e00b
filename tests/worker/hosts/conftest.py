"""The hosts: what holds for one of them holds for all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobferry_worker.hosts import LocalHost
from jobferry_worker.hosts.ssh import SshHost
from tests.testbed.link import Link

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobferry_worker.hosts import Host

_SSH = pytest.param("ssh", marks=pytest.mark.needs("sshd"))


@pytest.fixture(scope="module", params=["local", _SSH])
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """This machine, and this machine by ssh."""
    if request.param == "local":
        yield LocalHost()
        return
    ssh = SshHost(Link(request.getfixturevalue("sshd")))
    yield ssh
    ssh.close()
