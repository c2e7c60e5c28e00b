"""A depot on every kind of store."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.depot.depot import Depot, forget_depots, open_depot
from jobferry_common.depot.settings import DepotSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jobferry_common.ledger import Ledger
    from tests.testbed.sshd import SshServer

KINDS = (
    "folder",
    "broker",
    "fsspec",
    pytest.param("sftp", marks=pytest.mark.needs("sshd")),
)


def settings_of(kind: str, directory: Path, server: SshServer | None) -> DepotSettings:
    """Return settings that name a depot of a kind."""
    directory.mkdir(exist_ok=True)
    if kind == "sftp" and server is not None:
        user = os.environ.get("USER", "root")
        url = f"sftp://{user}@127.0.0.1:{server.port}{directory}"
        options: dict[str, Any] = {
            "key_filename": str(server.key),
            "known_hosts": str(server.known_hosts),
        }
        return DepotSettings(url=url, options=options)
    urls = {"folder": str(directory), "broker": "redis:", "fsspec": f"local://{directory}"}
    return DepotSettings(url=urls[kind], limit_mib=8)


@pytest.fixture(params=KINDS)
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> DepotSettings:
    """The settings of a depot of each kind."""
    server = request.getfixturevalue("sshd") if request.param == "sftp" else None
    return settings_of(request.param, tmp_path / "depot", server)


@pytest.fixture
def depot(settings: DepotSettings, ledger: Ledger) -> Iterator[Depot]:
    """An empty depot of each kind."""
    found = open_depot(settings, ledger)
    assert found is not None
    yield found
    forget_depots()
