"""Streamed: how what came is put in its place, whoever ends the far side meanwhile."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from jobferry_common.errors import StagingError
from tests.worker.staging.places import task
from tests.worker.staging.streamed.far import FarPlace, write

if TYPE_CHECKING:
    from pathlib import Path

#: unpacks half of a file, then its whole group of processes goes
KILLED_TAR = r"""#!/bin/bash
while [ $# -gt 0 ]; do case $1 in -C) cd "$2" ;; esac; shift; done
mkdir -p t && head -c 4000 /dev/zero > t/in
kill -KILL 0
"""


@pytest.fixture
def place(tmp_path: Path) -> FarPlace:
    return FarPlace(tmp_path)


def test_files_that_cannot_be_placed_leave_what_jobs_of_the_run_have_made(place: FarPlace) -> None:
    place.put(place.source / "t0" / "in", "input")
    place.stage(task("t0"))
    (place.base / "t0" / "running.log").write_text("hours of work\n")
    (place.base / "t0" / "in").write_text("changed by its job\n")
    for name in ("in", "new"):
        place.put(place.source / "t1" / name, name)
    in_the_way = place.base / "t1" / "in" / "full"
    place.put(in_the_way)
    with pytest.raises(StagingError, match="could not be unpacked"):
        place.stage(task("t1", forward=("in", "new")))
    assert (place.base / "t0" / "running.log").read_text() == "hours of work\n"
    assert (place.base / "t0" / "in").read_text() == "changed by its job\n"
    assert in_the_way.exists()
    assert list((place.cache / "tmp").iterdir()) == []


def test_no_file_is_half_at_its_place_when_the_far_side_is_killed(
    place: FarPlace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A tar that ends in the middle of a file, by the signal that nobody can catch."""
    tar = tmp_path / "bin" / "tar"
    write(tar, KILLED_TAR.encode()).chmod(0o755)
    write(place.source / "t" / "in", os.urandom(9000))
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{tar.parent}:{os.environ['PATH']}")
        with pytest.raises(StagingError):
            place.stage()
    assert [path for path in place.base.rglob("*") if path.is_file()] == []
    place.stage()
    assert (place.base / "t" / "in").stat().st_size == 9000


def test_a_pack_is_laid_over_what_is_there(place: FarPlace, tmp_path: Path) -> None:
    place.stage()
    (tmp_path / "scratch").mkdir()
    os.link(place.base / "t" / "in", tmp_path / "kept")
    place.put(place.base / "t" / "out", "result")
    (place.base / "t" / "d").symlink_to(tmp_path / "scratch")
    place.put(place.source / "t" / "d" / "x", "inside")
    place.put(place.source / "t" / "in", "another")
    place.stage(task(forward=("in", "d")))
    assert (place.base / "t" / "in").read_text() == "another"
    assert (place.base / "t" / "d" / "x").read_text() == "inside"
    assert (place.base / "t" / "out").read_text() == "result"
    assert (tmp_path / "kept").read_text() == "input"
    assert list((tmp_path / "scratch").iterdir()) == []
