"""Local: what is linked, and what is copied; `test_conformance.py` tells the rest."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from jobferry_common.errors import LeaseLost, StagingError
from jobferry_worker import clock
from jobferry_worker.staging.local import Local
from tests.worker.staging.places import Place, task


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def copying(tmp_path: Path) -> Place:
    return Place(tmp_path, "copied")


def test_forward_files_are_linked(place: Place) -> None:
    place.stage()
    assert (place.base / "t" / "in").readlink() == place.source / "t" / "in"
    assert not (place.base / "t").is_symlink()


def test_forward_files_are_copied_without_symlinks(copying: Place) -> None:
    (copying.source / "t" / "in").chmod(0o755)
    copying.stage()
    copied = copying.base / "t" / "in"
    assert not copied.is_symlink()
    assert copied.read_text(encoding="utf-8") == "input"
    assert os.access(copied, os.X_OK)
    copied.write_text("changed", encoding="utf-8")
    assert (copying.source / "t" / "in").read_text(encoding="utf-8") == "input"


def test_a_half_written_copy_is_written_again(copying: Place) -> None:
    copying.put(copying.base / "t" / "in", "inp")
    copying.stage()
    assert (copying.base / "t" / "in").read_text(encoding="utf-8") == "input"


def test_another_file_system_gets_copies(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", refuse)
    place.put(place.base / "t" / "out", "result")
    place.collect()
    place.collect()
    assert (place.source / "t" / "out").read_text(encoding="utf-8") == "result"
    assert (place.source / "t" / "out").stat().st_ino != (place.base / "t" / "out").stat().st_ino


def test_a_copy_that_differs_in_content_is_not_taken(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    def spoil(_: str, part: str) -> None:
        Path(part).write_text("resulT", encoding="utf-8")

    place.put(place.base / "t" / "out", "result")
    monkeypatch.setattr(os, "link", refuse)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", spoil)
        with pytest.raises(StagingError, match="its copy differs"):
            place.collect()
    assert [path.name for path in (place.source / "t").iterdir()] == ["in"]
    place.collect()
    assert (place.source / "t" / "out").read_text(encoding="utf-8") == "result"


def test_a_full_disk_is_told_with_the_path_and_leaves_nothing_half(
    copying: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: str, target: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), source, None, target)

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(StagingError, match=r"t/.*part: No space left on device \(free some space"):
        copying.stage()
    assert list((copying.base / "t").iterdir()) == []


@pytest.mark.parametrize("symlink", [True, False])
def test_whoever_was_stopped_and_lost_the_lease_brings_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, symlink: bool
) -> None:
    def lost() -> None:
        raise LeaseLost(msg)

    msg = "another worker goes on"
    place = Place(tmp_path)
    place.stage()
    changed = place.base / "t" / "in"
    changed.unlink()
    changed.write_text("a job went on with it")
    place.staging = Local(symlink=symlink, renew=lost)
    monkeypatch.setattr(clock, "_RENEW_SECONDS", 0.0)
    with pytest.raises(LeaseLost, match=msg):
        place.stage(task())
    assert changed.read_text() == "a job went on with it"


def test_whoever_was_stopped_and_lost_the_lease_puts_no_result_over_a_newer_one(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost() -> None:
        raise LeaseLost(msg)

    msg = "another worker goes on"
    place.stage()
    place.put(place.base / "t" / "out", "old")
    place.put(place.source / "t" / "out", "new")
    place.staging = Local(symlink=True, renew=lost)
    monkeypatch.setattr(clock, "_RENEW_SECONDS", 0.0)
    with pytest.raises(LeaseLost, match=msg):
        place.collect()
    assert (place.source / "t" / "out").read_text(encoding="utf-8") == "new"
