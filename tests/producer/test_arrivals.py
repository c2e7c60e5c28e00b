"""Results arrive from the depot: whole, one fetch at a time, and where links allow it."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobferry.arrivals import Arrivals
from jobferry_common.depot.depot import Depot
from jobferry_common.depot.sending import send
from jobferry_common.depot.tree import Tree
from jobferry_common.errors import StagingError

if TYPE_CHECKING:
    from jobferry_common.depot.manifest import Manifest

LARGE = os.urandom(200_000)


@pytest.fixture
def manifest(depot: Depot, tmp_path: Path) -> Manifest:
    """What a task left: small and large files, one large content twice, an empty directory."""
    far = tmp_path / "far"
    (far / "t" / "empty").mkdir(parents=True)
    (far / "t" / "small").write_text("small\n")
    (far / "t" / "run").write_text("#!/bin/sh\n")
    (far / "t" / "run").chmod(0o750)
    for name in ("large", "twin"):
        (far / "t" / name).write_bytes(LARGE)
    return depot.manifest(send(depot, "me", Tree(str(far)).named("", ["t"])))


def arrivals(home: Path, *later: str) -> Arrivals:
    home.mkdir(exist_ok=True)
    return Arrivals(str(home), {"t"}, later, "0123")


def take(home: Path, depot: Depot, manifest: Manifest, *later: str) -> None:
    these = arrivals(home, *later)
    with these.alone() as alone:
        assert alone
        these.take(depot, manifest)


def test_all_is_there_as_it_was(depot: Depot, manifest: Manifest, tmp_path: Path) -> None:
    home = tmp_path / "home"
    take(home, depot, manifest)
    for name in ("small", "run", "large", "twin"):
        one, other = home / "t" / name, tmp_path / "far" / "t" / name
        assert one.read_bytes() == other.read_bytes()
        assert one.stat().st_mtime_ns == other.stat().st_mtime_ns
        assert stat.S_IMODE(one.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)
    assert (home / "t" / "empty").is_dir()
    assert not (home / "t" / "large").samefile(home / "t" / "twin")
    assert [path.name for path in home.iterdir()] == ["t"]


def test_what_is_there_is_left_alone(depot: Depot, manifest: Manifest, tmp_path: Path) -> None:
    home = tmp_path / "home"
    take(home, depot, manifest)
    before = {path: path.stat().st_ino for path in home.rglob("*")}
    (home / "t" / "twin").write_bytes(b"another")
    take(home, depot, manifest)
    assert (home / "t" / "twin").read_bytes() == LARGE
    after = {path: path.stat().st_ino for path in home.rglob("*")}
    assert {path.name for path in home.rglob("*") if before[path] != after[path]} <= {"twin"}


def test_what_a_later_run_has_is_not_touched(
    depot: Depot, manifest: Manifest, tmp_path: Path
) -> None:
    take(tmp_path / "home", depot, manifest, "t")
    assert list((tmp_path / "home").iterdir()) == []


def test_only_one_fetch_at_a_time(tmp_path: Path) -> None:
    one, other = arrivals(tmp_path / "home"), arrivals(tmp_path / "home")
    with one.alone() as first, other.alone() as second:
        assert (first, second) == (True, False)
    with other.alone() as later:
        assert later


def test_what_a_killed_fetch_left_is_removed(
    depot: Depot, manifest: Manifest, tmp_path: Path
) -> None:
    scratch = tmp_path / "home" / ".jobferry" / "depot" / "0123.parts"
    scratch.mkdir(parents=True)
    (scratch / "half").write_bytes(b"half")
    take(tmp_path / "home", depot, manifest)
    assert not (tmp_path / "home" / ".jobferry").exists()


def test_a_directory_in_the_place_of_a_file_is_named(
    depot: Depot, manifest: Manifest, tmp_path: Path
) -> None:
    (tmp_path / "home" / "t" / "small" / "mine").mkdir(parents=True)
    with pytest.raises(StagingError, match=r"home/t/small: .* then `jobferry fetch"):
        take(tmp_path / "home", depot, manifest)
    assert (tmp_path / "home" / "t" / "small" / "mine").is_dir()


def test_a_tasks_own_directory_may_be_a_link_to_another_disk(
    depot: Depot, manifest: Manifest, tmp_path: Path
) -> None:
    (tmp_path / "home").mkdir()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as disk:
        (tmp_path / "home" / "t").symlink_to(disk)
        take(tmp_path / "home", depot, manifest)
        assert (Path(disk) / "large").read_bytes() == LARGE
        assert stat.S_IMODE((Path(disk) / "run").stat().st_mode) == 0o750
        names = {"empty", "large", "run", "small", "twin"}
        assert {path.name for path in Path(disk).iterdir()} == names


def test_a_link_below_it_that_leads_out_is_not_written_through(
    depot: Depot, manifest: Manifest, tmp_path: Path
) -> None:
    (tmp_path / "home" / "t").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "home" / "t" / "empty").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StagingError, match="remove that link"):
        take(tmp_path / "home", depot, manifest)
