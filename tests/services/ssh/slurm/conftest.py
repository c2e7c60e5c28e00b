"""Fixtures of the tests on a real Slurm behind a real ssh server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.testbed.proxy import Proxy
from tests.testbed.sshd import SshServer
from tests.testbed.work import Work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.testbed.fleet import Fleet
    from tests.testbed.slurm import SlurmCluster


@pytest.fixture
def server(slurm: SlurmCluster, tmp_path: Path) -> Iterator[SshServer]:
    """The login node of the Slurm cluster."""
    env = {"SLURM_CONF": str(slurm.directory / "slurm.conf")}
    with SshServer(tmp_path / "sshd", env=env) as server:
        yield server


@pytest.fixture
def proxy(server: SshServer, known: Path) -> Iterator[Proxy]:
    """What stands between the worker and the login node."""
    with Proxy(server.port) as proxy:
        with known.open("a") as file:
            file.write(f"[127.0.0.1]:{proxy.port} {server.public('ed25519')}")
        yield proxy


@pytest.fixture
def make_fleet(
    fleet_of: Callable[..., Fleet],
    server: SshServer,
    known: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Fleet]:
    """A function that starts a fleet whose worker reaches Slurm by ssh."""
    monkeypatch.chdir(tmp_path)

    def make(port: int = 0, **more: Any) -> Fleet:
        remote = {
            "hostname": server.address,
            "port": port or server.port,
            "key_filename": str(server.key),
        }
        profile = {
            "batch_type": "Slurm",
            "context_type": "SSH",
            "remote_root": str(tmp_path / "remote"),
            "commands_per_second": 50.0,
            "remote_profile": remote,
            **more,
        }
        return fleet_of({"far": profile})

    return make


@pytest.fixture
def make_work(tmp_path: Path) -> Callable[..., Work]:
    """A function that makes `Work` in the directory of the test."""

    def make(*commands: str, name: str = "work") -> Work:
        return Work(tmp_path, commands, name=name)

    return make
