"""A depot on an ssh server that has no room: nobody sees half of an object."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobferry_common.depot.depot import forget_depots, open_depot
from jobferry_common.depot.store import CHUNK_BYTES, digest_of
from jobferry_common.errors import DepotError, DepotFull
from tests.common.depot.conftest import settings_of
from tests.testbed.sshd import SshServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobferry_common.depot.store import Store
    from jobferry_common.ledger import Ledger

pytestmark = pytest.mark.needs("sshd")

_SERVERS = ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server")
MIB = 1024 * 1024


@pytest.fixture
def store_of(tmp_path: Path, ledger: Ledger) -> Iterator[Callable[[str], Store]]:
    """A function that returns the store of a depot; before its server serves, a shell runs some words."""
    program = next((path for path in _SERVERS if Path(path).exists()), None)
    if program is None:
        pytest.skip("the program sftp-server is not here")
    servers: list[SshServer] = []

    def make(words: str) -> Store:
        wrapper = tmp_path / "serve"
        wrapper.write_text(f"#!/bin/sh\n{words.format(serve=f'exec {program}')}\n")
        wrapper.chmod(0o755)
        server = SshServer(tmp_path / "sshd", options={"Subsystem": f"sftp {wrapper}"})
        servers.append(server)
        server.start()
        depot = open_depot(settings_of("sftp", tmp_path / "depot", server), ledger)
        assert depot is not None
        return depot.store

    yield make
    forget_depots()
    for server in servers:
        server.stop()


def _put(store: Store, size: int) -> str:
    data = os.urandom(size)
    digest = digest_of(data)
    store.put(digest, (data[at : at + CHUNK_BYTES] for at in range(0, size, CHUNK_BYTES)))
    return digest


@pytest.mark.parametrize("size", [2 * MIB, 9 * MIB])
def test_what_the_server_could_not_write_is_told_and_never_there(
    store_of: Callable[[str], Store], tmp_path: Path, size: int
) -> None:
    store = store_of("trap '' XFSZ; ulimit -f 2048; {serve}")  # 1 MiB a file
    assert store.has([_put(store, MIB)])
    with pytest.raises(DepotError, match="is the disk or the quota there full"):
        _put(store, size)
    assert [path.stat().st_size for path in (tmp_path / "depot").glob("objects/*/*")] == [MIB]
    assert list((tmp_path / "depot" / "incoming").iterdir()) == []


@pytest.mark.needs("namespaces")
def test_a_full_disk_is_called_full(store_of: Callable[[str], Store], tmp_path: Path) -> None:
    mount = f"mount -t tmpfs -o size=4m none {tmp_path}/depot"
    store = store_of(f"exec unshare -m sh -c '{mount} && {{serve}}'")
    kept = _put(store, MIB)
    with pytest.raises(DepotFull, match="is full"):
        _put(store, 5 * MIB)
    assert store.has([kept]) == {kept}
    assert _put(store, MIB)
