"""Streamed: what travels, what is used again, and what can go wrong on the way."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

from jobferry_common.errors import StagingError
from jobferry_worker import clock
from jobferry_worker.staging.base import is_passing
from jobferry_worker.staging.streamed import Streamed, packs, reading
from jobferry_worker.staging.streamed.batches import LARGE_BYTES
from tests.worker.staging.places import task
from tests.worker.staging.streamed.far import FarPlace, write

BIG = os.urandom(LARGE_BYTES + 12345)


@pytest.fixture
def place(tmp_path: Path) -> FarPlace:
    return FarPlace(tmp_path)


def aged(place: FarPlace) -> None:
    """Let no file count as changed a moment ago."""
    newest = max(path.stat().st_ctime for path in place.source.rglob("*"))
    while time.time() - newest < reading._TICK_SECONDS:
        time.sleep(0.1)


def test_common_files_are_read_only_links_to_one_content(place: FarPlace) -> None:
    write(place.source / "graph.pb", BIG)
    write(place.source / "lib" / "small", b"small")
    for run in ("5e7-1", "5e7-2"):
        place.at(run)
        place.stage(common=("graph.pb", "lib"))
    for name in ("graph.pb", "lib/small"):
        first, second = place.root / "5e7-1" / name, place.root / "5e7-2" / name
        assert first.stat().st_ino == second.stat().st_ino
        assert stat.S_IMODE(first.stat().st_mode) == 0o444


def test_the_run_bit_stays(place: FarPlace) -> None:
    for name in ("t/in", "tool", "big"):
        write(place.source / name, BIG if name == "big" else b"#!/bin/sh\n").chmod(0o755)
    place.stage(task(forward=("in",)), common=("tool", "big"))
    assert all(os.access(place.base / name, os.X_OK) for name in ("t/in", "tool", "big"))
    assert (place.base / "t" / "in").stat().st_mode & stat.S_IWUSR


@pytest.mark.parametrize("age", [False, True])
def test_what_did_not_change_does_not_travel_again(place: FarPlace, *, age: bool) -> None:
    write(place.source / "graph.pb", BIG)
    write(place.source / "t" / "own", BIG[::-1])
    tasks = [task(f"t{number}") for number in range(50)]
    for one in tasks:
        write(place.source / one.path / "in", os.urandom(4000))
    if age:
        aged(place)
    tasks.append(task("t", forward=("in", "own")))
    first = place.sent(lambda: place.stage(*tasks, common=("graph.pb",)))
    place.staging.clean(place.layout)
    place.at("5e7-2")
    again = place.sent(lambda: place.stage(*tasks, common=("graph.pb",)))
    assert first > 2 * len(BIG)
    assert again < first / 20
    for one in tasks:
        for name in one.forward:
            path = f"{one.path}/{name}"
            assert (place.base / path).read_bytes() == (place.source / path).read_bytes()
    assert (place.base / "graph.pb").read_bytes() == BIG


@pytest.mark.parametrize("age", [False, True])
def test_only_changed_files_travel(
    place: FarPlace, monkeypatch: pytest.MonkeyPatch, *, age: bool
) -> None:
    monkeypatch.setattr(packs, "_MOST_PACKS", 2)
    tasks = [task(f"t{number}") for number in range(50)]
    for one in tasks:
        write(place.source / one.path / "in", os.urandom(4000))
    if age:
        aged(place)
    place.stage(*tasks)
    for run in range(2, 5):
        changed = write(place.source / "t7" / "in", os.urandom(4000))
        place.at(f"5e7-{run}")
        sent = place.sent(lambda: place.stage(*tasks))
        assert (place.base / "t7" / "in").read_bytes() == changed.read_bytes()
        assert (place.base / "t8" / "in").read_bytes() == (place.source / "t8/in").read_bytes()
        # two packs are laid over each other, then the group is sent as a whole
        assert (sent < 60_000) == (run != 3)


def test_a_content_travels_once_however_many_files_have_it(place: FarPlace) -> None:
    for number in range(10):
        write(place.source / f"t{number}" / "potential", BIG)
        write(place.source / f"t{number}" / "medium", BIG[:100_000])
    tasks = [task(f"t{number}", forward=("potential", "medium")) for number in range(10)]
    write(place.source / "graph.pb", BIG)
    assert place.sent(lambda: place.stage(*tasks, common=("graph.pb",))) < len(BIG) + 300_000
    copies = [place.base / f"t{number}" / "potential" for number in range(10)]
    assert len({path.stat().st_ino for path in copies}) == len(copies)
    assert all(path.stat().st_nlink == 1 for path in copies)
    assert all(path.read_bytes() == BIG for path in copies)


def test_a_job_that_appends_to_all_its_inputs_poisons_nobody(place: FarPlace) -> None:
    write(place.source / "graph.pb", BIG)
    write(place.source / "small", b"small")
    write(place.source / "t" / "large", BIG[::-1])
    write(place.source / "t2" / "large", BIG[::-1])
    tasks = (task(forward=("in", "large")), task("t2", forward=("large",)))
    for run in ("5e7-1", "5e7-2", "5e7-3"):
        place.at(run)
        place.stage(*tasks, common=("graph.pb", "small"))
        inputs = ("graph.pb", "small", "t/in", "t/large", "t2/large")
        for name in inputs:
            assert (place.base / name).read_bytes() == (place.source / name).read_bytes()
        for name in inputs:
            (place.base / name).chmod(0o644)
            with (place.base / name).open("ab") as stream:
                stream.write(b"more")


def test_copies_of_common_files_are_a_runs_own_while_others_run(place: FarPlace) -> None:
    place.staging = Streamed(place.host, str(place.root), copy_common=True)
    names = ("graph.pb", "d/small", "t/in")
    write(place.source / "graph.pb", BIG)
    write(place.source / "d" / "small", b"small")
    bases = []
    for run in ("5e7-1", "5e7-2"):
        place.at(run)
        place.stage(common=("graph.pb", "d", "t"))
        bases.append(place.base)
    for name in names:
        with (bases[0] / name).open("ab") as stream:
            stream.write(b"more")
    for name in names:
        assert (bases[1] / name).read_bytes() == (place.source / name).read_bytes()
    place.at("5e7-3")
    sent = place.sent(lambda: place.stage(common=("graph.pb", "d", "t")))
    assert sent < 10_000, "the cache is as it was"


@pytest.mark.parametrize("kind", ["objects", "packs"])
def test_a_poisoned_entry_of_the_cache_is_found_and_sent_again(place: FarPlace, kind: str) -> None:
    write(place.source / "graph.pb", BIG)
    write(place.source / "small", b"small")
    place.stage(common=("graph.pb", "small"))
    place.staging.clean(place.layout)
    for path in place.entries(kind):
        status = path.stat()
        path.chmod(0o644)
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        path.chmod(0o444)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    place.at("5e7-2")
    place.stage(common=("graph.pb", "small"))
    assert (place.base / "graph.pb").read_bytes() == BIG
    assert (place.base / "small").read_bytes() == b"small"
    assert (place.base / "t" / "in").read_bytes() == b"input"


def test_a_common_file_that_is_also_a_tasks_own_may_be_written_to(place: FarPlace) -> None:
    write(place.source / "both", b"both")
    write(place.source / "large", BIG)
    place.stage(task(".", forward=("both", "large")), common=("both", "large", "t"))
    for name in ("both", "large"):
        assert (place.base / name).stat().st_nlink == 1
        assert (place.base / name).stat().st_mode & stat.S_IWUSR
    assert (place.base / "t" / "in").stat().st_nlink > 1


def test_a_task_inside_a_common_directory_owns_its_files(place: FarPlace) -> None:
    write(place.source / "lib" / "t" / "in", b"own")
    write(place.source / "lib" / "other", b"other")
    place.stage(task("lib/t"), common=("lib",))
    assert (place.base / "lib" / "t" / "in").stat().st_nlink == 1
    assert (place.base / "lib" / "other").stat().st_nlink == 2


def test_empty_directories_and_odd_names_arrive(place: FarPlace) -> None:
    names = ("-n", "two\nlines", "a:b", "ü", "back\\slash", "x" * 255, " ", "*", "'\"", "$(x)")
    for name in names:
        write(place.source / "t" / "d" / name, name.encode())
        write(place.source / "lib" / name / name, BIG[: len(name)])
    odd = os.fsencode(str(place.source / "t" / "d")) + b"/\xff\xfe"
    Path(os.fsdecode(odd)).write_bytes(b"odd")
    (place.source / "t" / "d" / "empty").mkdir()
    (place.source / "lib" / "none").mkdir()
    place.stage(task(forward=("d",)), common=("lib",))
    for folder in ("t/d", "lib"):
        here = {path.relative_to(place.base) for path in (place.base / folder).rglob("*")}
        assert here == {
            path.relative_to(place.source) for path in (place.source / folder).rglob("*")
        }
    assert (place.base / "lib" / "two\nlines" / "two\nlines").read_bytes() == BIG[:9]


def test_links_are_followed_and_circles_refused(place: FarPlace, tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "x", b"x")
    (place.source / "t" / "linked").symlink_to(tmp_path / "elsewhere")
    (place.source / "t" / "file").symlink_to(tmp_path / "elsewhere" / "x")
    place.stage(task(forward=("linked", "file")))
    assert (place.base / "t" / "linked" / "x").read_bytes() == b"x"
    assert not (place.base / "t" / "linked").is_symlink()
    assert not (place.base / "t" / "file").is_symlink()
    (tmp_path / "elsewhere" / "again").symlink_to(".")
    with pytest.raises(StagingError, match=r"linked/again.*: Too many levels of symbolic links"):
        place.stage(task(forward=("linked",)))


@pytest.mark.parametrize("common", [True, False])
def test_a_large_file_with_holes_stays_one_and_its_holes_do_not_travel(
    place: FarPlace, *, common: bool
) -> None:
    edge = 64 << 20 if common else 4 << 30
    size = edge + 4096 + 17
    with (place.source / "t" / "sparse").open("wb") as stream:
        stream.write(b"begin")
        stream.seek(edge + 5)
        stream.write(b"beyond the edge")
        stream.truncate(size)
    forward = () if common else ("sparse",)
    names = ("t/sparse",) if common else ()
    assert place.sent(lambda: place.stage(task(forward=forward), common=names)) < 1 << 20
    status = (place.base / "t" / "sparse").stat()
    assert (status.st_size, status.st_blocks * 512 < 1 << 20) == (size, True)
    with (place.base / "t" / "sparse").open("rb") as stream:
        assert stream.read(6) == b"begin\0"
        stream.seek(edge + 5)
        assert stream.read(15) == b"beyond the edge"


class CutError(Exception):
    """The link is gone."""


@pytest.mark.parametrize("after", [0, 100_000, len(BIG) // 2, len(BIG) + 200_000])
def test_a_stream_that_is_cut_leaves_no_half_file_and_can_be_sent_again(
    place: FarPlace, after: int
) -> None:
    write(place.source / "graph.pb", BIG)
    tasks = [task(f"t{number}") for number in range(100)]
    for one in tasks:
        write(place.source / one.path / "in", os.urandom(9000))

    def cut(_: bytes) -> None:
        if place.host.sent >= after:
            raise CutError

    place.host.on_chunk = cut
    with pytest.raises(CutError):
        place.stage(*tasks, common=("graph.pb",))
    for path in place.base.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (place.source / path.relative_to(place.base)).read_bytes()
    place.host.on_chunk = lambda _: None
    place.stage(*tasks, common=("graph.pb",))
    assert (place.base / "graph.pb").read_bytes() == BIG
    for one in tasks:
        assert (place.base / one.path / "in").stat().st_size == 9000


def test_what_arrives_spoilt_is_not_taken(place: FarPlace) -> None:
    place.host.change = lambda chunk: chunk.replace(b"input", b"inpuT")
    with pytest.raises(StagingError, match="what arrived is not what was sent") as caught:
        place.stage()
    assert is_passing(caught.value)
    assert not (place.base / "t" / "in").exists()
    assert place.entries("packs") == []


@pytest.mark.parametrize("large", [True, False])
def test_a_file_that_changes_while_it_is_sent_is_noticed(place: FarPlace, *, large: bool) -> None:
    source = write(place.source / "t" / "in", BIG if large else b"small")

    def change(_: bytes) -> None:
        with source.open("ab") as stream:
            stream.write(b"!")

    if large:
        place.host.on_chunk = change
    else:
        place.host.on_run = lambda: change(b"")
    with pytest.raises(StagingError, match=r"t/in: it changed while it was being sent") as caught:
        place.stage()
    assert is_passing(caught.value)
    assert not (place.base / "t" / "in").exists()


def test_a_name_that_leaves_its_directory_is_refused_before_anything_is_sent(
    place: FarPlace,
) -> None:
    write(place.source.parent / "secret", b"secret")
    with pytest.raises(StagingError, match="the name leaves its directory"):
        place.stage(task(forward=("../../secret",)))
    assert not (place.root / "secret").exists()
    assert place.host.sent == 0


def test_much_is_compressed_where_that_pays(place: FarPlace) -> None:
    for number in range(200):
        write(place.source / "t" / "d" / f"{number}", b"1.0000 2.0000 3.0000\n" * 200)
    write(place.source / "table", b"1.0000 2.0000 3.0000\n" * 300_000)
    sent = place.sent(lambda: place.stage(task(forward=("d",)), common=("table",)))
    assert sent < 1_000_000
    assert (place.base / "table").read_bytes() == (place.source / "table").read_bytes()
    assert (place.base / "t" / "d" / "7").stat().st_size == 4200


def test_nothing_is_compressed_where_the_profile_forbids_it(place: FarPlace) -> None:
    place.staging = Streamed(place.host, str(place.root), compress=False)
    write(place.source / "table", b"1.0000 2.0000 3.0000\n" * 300_000)
    assert place.sent(lambda: place.stage(common=("table",))) > 6_000_000


def test_the_lease_is_held_while_a_stream_takes_its_time(
    place: FarPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewed: list[int] = []
    monkeypatch.setattr(clock, "_RENEW_SECONDS", 0.0)
    place.staging = Streamed(place.host, str(place.root), renew=lambda: renewed.append(1))
    place.stage()
    assert len(renewed) > 1


def test_more_directories_than_one_command_takes_are_placed(place: FarPlace) -> None:
    tasks = [task(f"t{number}") for number in range(900)]
    for one in tasks:
        place.put(place.source / one.path / "in", one.path)
    place.put(place.base / "t450" / "mine", "there before")
    place.stage(*tasks)
    assert [(place.base / one.path / "in").read_text() for one in tasks] == [
        one.path for one in tasks
    ]
    assert (place.base / "t450" / "mine").read_text() == "there before"
