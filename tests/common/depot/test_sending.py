"""Files into the depot and out of it: packs, digests, what is not sent twice, what nobody needs any more."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobferry_common.depot.depot import Depot, forget_depots, open_depot
from jobferry_common.depot.manifest import Entry, Manifest
from jobferry_common.depot.receiving import large_files, small_files
from jobferry_common.depot.sending import send
from jobferry_common.depot.settings import DepotSettings
from jobferry_common.depot.tree import Tree
from jobferry_common.errors import DepotError, StagingError
from tests.testbed.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jobferry_common.ledger import Ledger

MANY = 3000


@pytest.fixture
def folder(tmp_path: Path, ledger: Ledger) -> Iterator[Depot]:
    """A depot in a folder."""
    (tmp_path / "depot").mkdir()
    found = open_depot(DepotSettings(url=str(tmp_path / "depot")), ledger)
    assert found is not None
    yield found
    forget_depots()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Small and large files, links, empty directories and files, strange names."""
    root = tmp_path / "source"
    (root / "a" / "deep" / "empty").mkdir(parents=True)
    (root / "a" / "small").write_text("small\n")
    (root / "a" / "nothing").touch()
    (root / "a" / "run").write_text("#!/bin/sh\n")
    (root / "a" / "run").chmod(0o755)
    (root / "a" / "ein Blatt — \u00fc").write_text("odd\n")
    (root / "a" / "large").write_bytes(os.urandom(200_000))
    (root / "a" / "same").write_bytes((root / "a" / "large").read_bytes())
    (root / "b").mkdir()
    (root / "b" / "link").symlink_to("../a/large")
    (root / "b" / "folder").symlink_to("../a/deep")
    (root / "a" / ".jobferry").mkdir()
    (root / "a" / ".jobferry" / "private").touch()
    os.utime(root / "a" / "small", ns=(1, 1_234_567_890_123_456_789))
    return root


def contents(depot: Depot, files: Iterable[Entry]) -> dict[str, bytes]:
    entries = list(files)
    found = {entry.path: data for entry, data in small_files(depot, entries)}
    for digest, members in large_files(entries).items():
        found |= dict.fromkeys((one.path for one in members), b"".join(depot.get(digest)))
    return found


def test_what_goes_in_comes_out(folder: Depot, source: Path) -> None:
    digest = send(folder, "me", Tree(str(source)).named("", ["a", "b"]))
    manifest = folder.manifest(digest)
    found = contents(folder, manifest.files)
    names = ("a/small", "a/nothing", "a/run", "a/ein Blatt — \u00fc", "a/large", "a/same", "b/link")
    assert found == {name: (source / name).read_bytes() for name in names}
    assert manifest.directories == (
        "a",
        "a/deep",
        "a/deep/empty",
        "b",
        "b/folder",
        "b/folder/empty",
    )
    entry = {entry.path: entry for entry in manifest.files}
    assert (entry["a/run"].mode, entry["a/small"].mode & 0o111) == (0o755, 0)
    assert entry["a/small"].mtime_ns == 1_234_567_890_123_456_789
    assert entry["a/same"].digest == entry["a/large"].digest


def test_small_files_share_packs(folder: Depot, tmp_path: Path) -> None:
    root = tmp_path / "many"
    root.mkdir()
    for number in range(MANY):
        (root / f"f{number}").write_text(f"{number}\n" * 10)
    manifest = folder.manifest(send(folder, "me", Tree(str(root)).named("", ["."])))
    assert len(manifest.files) == MANY
    assert len(manifest.objects) < MANY / 100
    assert contents(folder, manifest.files)["f77"] == b"77\n" * 10


def test_one_changed_file_changes_one_pack(folder: Depot, tmp_path: Path) -> None:
    root = tmp_path / "many"
    root.mkdir()
    for number in range(MANY):
        (root / f"f{number}").write_text(f"{number}\n")
    before = folder.manifest(send(folder, "me", Tree(str(root)).named("", ["."]))).objects
    (root / "f1234").write_text("changed\n")
    (root / "f99").unlink()
    after = folder.manifest(send(folder, "me too", Tree(str(root)).named("", ["."]))).objects
    assert len(after - before) <= 2 < len(after)


def test_what_the_depot_has_is_not_sent_again(
    folder: Depot, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = send(folder, "me", Tree(str(source)).named("", ["a"]))

    def never(*_: object) -> None:
        pytest.fail("it was sent again")

    monkeypatch.setattr(folder.store, "put", never)
    assert send(folder, "me too", Tree(str(source)).named("", ["a"])) == digest


def test_a_file_that_is_not_there_or_no_file_is_named(source: Path) -> None:
    os.mkfifo(source / "pipe")
    for name, says in (("none", "source/none cannot be read"), ("pipe", "neither a file nor")):
        with pytest.raises(StagingError, match=says):
            list(Tree(str(source)).named("", [name]))


def test_a_link_in_a_circle_is_named(source: Path) -> None:
    (source / "a" / "round").symlink_to("../a")
    with pytest.raises(StagingError, match="leads in a circle"):
        list(Tree(str(source)).named("", ["a"]))


def test_a_file_that_changes_while_it_is_read_is_refused(folder: Depot, source: Path) -> None:
    items = list(Tree(str(source)).named("a", ["small"]))
    (source / "a" / "small").write_text("other, longer\n")
    with pytest.raises(StagingError, match="changed while it was read"):
        send(folder, "me", items)


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x", "a/../../x", "a//b", "", ".", "a/.jobferry/x", "a\0b"]
)
def test_a_manifest_never_leads_out_of_its_directory(path: str) -> None:
    entry = Entry(path=path, size=0, mode=0o644, mtime_ns=0, digest="0" * 64)
    with pytest.raises(DepotError, match="cannot be read"):
        Manifest.unpack(Manifest(files=(entry,)).pack())
    with pytest.raises(DepotError, match="cannot be read"):
        Manifest.unpack(Manifest(directories=(path,)).pack())


def test_names_that_are_no_text_survive(folder: Depot, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9\n")
    (tmp_path / name).write_text("x")
    manifest = folder.manifest(send(folder, "me", Tree(str(tmp_path)).named("", [name])))
    assert [entry.path for entry in manifest.files] == [name]


def test_objects_go_when_the_last_holder_released_them(folder: Depot, source: Path) -> None:
    digest = send(folder, "one", Tree(str(source)).named("", ["a"]))
    send(folder, "two", Tree(str(source)).named("", ["a"]))
    folder.books.release(["one"])
    folder.tidy()
    assert folder.store.has([digest]) == {digest}
    folder.books.release(["two"])
    folder.tidy()
    assert folder.store.has([digest]) == set()


def test_an_offer_that_nobody_took_up_is_void_after_a_day(
    folder: Depot, source: Path, ledger: Ledger
) -> None:
    digest = send(folder, "one", Tree(str(source)).named("", ["a"]))
    folder.books.release_void()
    folder.tidy()
    assert folder.store.has([digest]) == {digest}
    now = ledger.clock()
    ledger.clock = lambda: now + 90_000
    folder.books.release_void()
    folder.tidy()
    assert folder.store.has([digest]) == set()


def test_who_needs_an_object_that_is_being_removed_puts_it_again(
    folder: Depot, source: Path, ledger: Ledger
) -> None:
    items = list(Tree(str(source)).named("", ["a"]))
    digest = send(folder, "one", items)
    folder.books.release(["one"])
    removal = folder.books.garbage()
    taken = next(removal)
    assert digest in taken
    sending = threading.Thread(target=send, args=(folder, "two", items))
    sending.start()
    held = ledger.key("depot", folder.id, "held", "two")
    wait_until(lambda: ledger.redis.scard(held) == len(taken), "the other one waits for them")
    folder.store.remove(taken)
    next(removal, None)
    sending.join()
    assert folder.store.has(taken) == set(taken)


def test_what_a_dead_remover_took_is_garbage_again(
    folder: Depot, source: Path, ledger: Ledger
) -> None:
    digest = send(folder, "one", Tree(str(source)).named("", ["a"]))
    folder.books.release(["one"])
    next(folder.books.garbage())  # and it died
    folder.tidy()
    assert folder.store.has([digest]) == {digest}
    now = ledger.clock()
    ledger.clock = lambda: now + 300
    folder.tidy()
    assert folder.store.has([digest]) == set()
