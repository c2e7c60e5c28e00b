"""What every store of a depot does: nothing half, nothing wrong, nothing that was not asked for."""

from __future__ import annotations

import errno
import sys
from typing import TYPE_CHECKING

import pytest

from jobferry_common.depot.depot import forget_depots, open_depot
from jobferry_common.depot.folder import Folder
from jobferry_common.depot.settings import DepotSettings
from jobferry_common.depot.store import CHUNK_BYTES, digest_of
from jobferry_common.errors import BadInput, DamagedObject, DepotError, DepotFull, NotInDepot
from tests.common.depot.conftest import settings_of
from tests.testbed.processes import checked
from tests.testbed.sshd import SshServer, make_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jobferry_common.depot.depot import Depot
    from jobferry_common.ledger import Ledger

CONTENTS = (b"", b"x", bytes(range(256)) * 100, b"\x00\xff" * CHUNK_BYTES)


def chunks_of(data: bytes) -> list[bytes]:
    return [data[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES)]


def shutdown_of(depot: Depot) -> None:
    """Cut the connection of a depot: sshd leaves those alone that it has when it ends."""
    depot.store._fs.transport.close()  # type: ignore[attr-defined]


def put(depot: Depot, data: bytes) -> str:
    digest = digest_of(data)
    depot.store.put(digest, chunks_of(data))
    return digest


@pytest.mark.parametrize("data", CONTENTS, ids=len)
def test_what_was_put_is_there_byte_for_byte(depot: Depot, data: bytes) -> None:
    digest = digest_of(data)
    assert depot.store.has([digest]) == set()
    put(depot, data)
    put(depot, data)
    assert depot.store.has([digest, digest_of(b"another")]) == {digest}
    assert b"".join(depot.store.get(digest)) == data


def test_many_are_looked_for_at_once(depot: Depot) -> None:
    there = {put(depot, b"%d" % number) for number in range(0, 40, 2)}
    asked = {digest_of(b"%d" % number) for number in range(40)}
    assert depot.store.has(asked) == there


def test_what_is_not_there_is_said_so(depot: Depot) -> None:
    with pytest.raises(NotInDepot, match=r"lacks object"):
        b"".join(depot.store.get(digest_of(b"nothing")))


def test_removing_leaves_the_others(depot: Depot) -> None:
    one, other = put(depot, b"one"), put(depot, b"other")
    depot.store.remove([one, digest_of(b"never there")])
    assert depot.store.has([one, other]) == {other}


def test_content_that_is_not_its_digest_is_never_there(depot: Depot) -> None:
    digest = digest_of(b"this")
    with pytest.raises(DamagedObject):
        depot.store.put(digest, [b"that"])
    assert depot.store.has([digest]) == set()


def test_what_was_cut_short_is_never_there(depot: Depot) -> None:
    digest = digest_of(b"first second")

    def broken() -> Iterator[bytes]:
        yield b"first "
        yield b"sec"
        raise OSError(errno.EIO, "the disk broke")

    with pytest.raises((DepotError, OSError)):
        depot.store.put(digest, broken())
    assert depot.store.has([digest]) == set()


def test_two_addresses_of_one_store_have_one_id(
    depot: Depot, settings: DepotSettings, ledger: Ledger
) -> None:
    forget_depots()
    again = open_depot(settings, ledger)
    assert again is not None
    assert (again.id, len(depot.id)) == (depot.id, 16)


def test_a_damaged_object_is_removed_so_that_it_can_be_put_again(
    tmp_path: Path, ledger: Ledger
) -> None:
    depot = open_depot(DepotSettings(url=str(tmp_path)), ledger)
    assert depot is not None
    digest = put(depot, b"precious")
    (path,) = tmp_path.glob(f"objects/*/{digest}")
    path.chmod(0o600)
    path.write_bytes(b"precioux")
    with pytest.raises(NotInDepot, match="it was removed"):
        depot.read(digest)
    assert depot.store.has([digest]) == set()
    put(depot, b"precious")
    assert depot.read(digest) == b"precious"


def test_the_broker_holds_no_more_than_it_may(ledger: Ledger) -> None:
    depot = open_depot(DepotSettings(url="redis:", limit_mib=1), ledger)
    assert depot is not None
    half = [b"a" * 300_000, b"b" * 300_000]
    first = put(depot, b"".join(half))
    with pytest.raises(DepotFull, match=r"depot\.limit_mib"):
        depot.store.put(digest_of(b"c" * 600_000), [b"c" * 300_000, b"c" * 300_000])
    assert int(ledger.redis.get("jobferry:depot:used") or 0) == 600_000
    depot.store.remove([first])
    put(depot, b"c" * 600_000)
    assert int(ledger.redis.get("jobferry:depot:used") or 0) == 600_000


def test_what_a_dead_writer_left_makes_room_for_others(ledger: Ledger) -> None:
    depot = open_depot(DepotSettings(url="redis:", limit_mib=1), ledger)
    assert depot is not None
    ledger.call("depot_write", "writer-dead", 0, b"d" * 900_000, 1 << 20, "0", "1")
    put(depot, b"alive" * 100_000)
    assert int(ledger.redis.get("jobferry:depot:used") or 0) == 500_000
    assert ledger.redis.exists("jobferry:depot:data:writer-dead") == 0


@pytest.mark.needs("sshd")
def test_an_ssh_server_that_was_away_is_used_again(tmp_path: Path, ledger: Ledger) -> None:
    with SshServer(tmp_path / "sshd") as server:
        settings = settings_of("sftp", tmp_path / "depot", server)
        depot = open_depot(settings, ledger)
        assert depot is not None
        digest = put(depot, b"before")
        server.stop()
        shutdown_of(depot)
        with pytest.raises(DepotError, match="sftp://"):
            depot.read(digest)
        forget_depots()
        with pytest.raises(DepotError, match="cannot be opened"):
            open_depot(settings, ledger)
        server.start()
        again = open_depot(settings, ledger)
        assert again is not None
        assert again.read(digest) == b"before"


@pytest.mark.needs("sshd")
@pytest.mark.parametrize(
    ("known", "message"),
    [
        ("", r"is unknown in .*/known_hosts; log in once by hand"),
        ("[127.0.0.1]:{port} {other}", r"has changed: .*/known_hosts:1 .*ssh-keygen -R"),
        ("@revoked * {own}", r"is revoked by .*/known_hosts:1"),
    ],
    ids=["unknown", "changed", "revoked"],
)
def test_a_host_key_that_is_not_to_be_believed_is_told_as_that_of_a_cluster(
    tmp_path: Path, ledger: Ledger, sshd: SshServer, known: str, message: str
) -> None:
    settings = settings_of("sftp", tmp_path / "depot", sshd)
    own = sshd.known_hosts.read_text().split(maxsplit=1)[1]
    make_key(tmp_path / "other")
    other = (tmp_path / "other.pub").read_text()
    (tmp_path / "known_hosts").write_text(known.format(port=sshd.port, own=own, other=other))
    options = {**settings.options, "known_hosts": str(tmp_path / "known_hosts")}
    with pytest.raises(DepotError, match=rf"the depot sftp://.* cannot be opened: .*{message}"):
        open_depot(settings.model_copy(update={"options": options}), ledger)


@pytest.mark.needs("sshd")
def test_marks_on_other_hosts_disturb_no_depot(
    tmp_path: Path, ledger: Ledger, sshd: SshServer
) -> None:
    settings = settings_of("sftp", tmp_path / "depot", sshd)
    make_key(tmp_path / "other")
    other = (tmp_path / "other.pub").read_text()
    known = f"@cert-authority *.example.org {other}@revoked other.example {other}"
    (tmp_path / "known_hosts").write_text(known + sshd.known_hosts.read_text())
    options = {**settings.options, "known_hosts": str(tmp_path / "known_hosts")}
    depot = open_depot(settings.model_copy(update={"options": options}), ledger)
    assert depot is not None
    assert depot.read(put(depot, b"there")) == b"there"


@pytest.mark.needs("sshd")
def test_an_alias_of_the_users_configuration_leads_to_the_depot(
    tmp_path: Path, ledger: Ledger, sshd: SshServer, ssh_home: Path
) -> None:
    (ssh_home / "config").write_text(
        f"Host storage\n  HostName 127.0.0.1\n  Port {sshd.port}\n  IdentityFile {sshd.key}\n"
        f"  UserKnownHostsFile {sshd.known_hosts}\n  ProxyJump none\n"
    )
    (tmp_path / "depot").mkdir()
    depot = open_depot(DepotSettings(url=f"sftp://storage{tmp_path}/depot"), ledger)
    assert depot is not None
    assert depot.read(put(depot, b"there")) == b"there"


def test_an_option_that_is_none_of_an_ssh_server_is_told(ledger: Ledger) -> None:
    settings = DepotSettings(url="sftp://storage/depot", options={"key": "~/.ssh/depot"})
    with pytest.raises(BadInput, match=r"depot\.options: key: is no known key; expected one of"):
        open_depot(settings, ledger)


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path, ledger: Ledger) -> None:
    with pytest.raises(DepotError, match="expected a directory that is there"):
        open_depot(DepotSettings(url=str(tmp_path / "not-mounted")), ledger)
    assert not (tmp_path / "not-mounted").exists()


def test_a_folder_without_hard_links_gets_one_id(tmp_path: Path) -> None:
    where = f"from pathlib import Path; from {Folder.__module__} import Folder"
    given = f"{where}; print(Folder(Path({str(tmp_path)!r})).id())"
    words = [sys.executable, "-m", "tests.testbed.linkless", "EPERM", sys.executable, "-c", given]
    first = checked(words).strip()
    assert len(first) == 16
    assert first == checked(words).strip() == Folder(tmp_path).id()


def test_what_is_made_in_a_folder_follows_its_permissions(tmp_path: Path, ledger: Ledger) -> None:
    tmp_path.chmod(0o2770)
    depot = open_depot(DepotSettings(url=str(tmp_path)), ledger)
    assert depot is not None
    digest = put(depot, b"shared by a group")
    (path,) = tmp_path.glob(f"objects/*/{digest}")
    assert path.stat().st_mode & 0o7777 == 0o440
    assert path.parent.stat().st_mode & 0o7777 == 0o2770
