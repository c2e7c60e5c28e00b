"""The far side's cache: it goes with the runs that use it, and never before them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from jobferry_worker.staging.streamed import Streamed
from tests.worker.staging.places import task
from tests.worker.staging.plain import PlainHost, skip_without_plain_host
from tests.worker.staging.streamed.far import FarPlace

_DAY = 24 * 3600.0


@pytest.fixture
def place(tmp_path: Path) -> FarPlace:
    place = FarPlace(tmp_path)
    place.put(place.source / "common", "common")
    return place


def age(place: FarPlace, days: float) -> None:
    """Let all of the cache be so much older."""
    for path in [place.cache, *place.cache.rglob("*")]:
        status = path.stat()
        os.utime(path, (status.st_atime - days * _DAY, status.st_mtime - days * _DAY))


def was_swept(place: FarPlace, days: float) -> None:
    """Have the cache swept so long ago."""
    place.put(place.cache / "swept", "")
    then = time.time() - days * _DAY
    os.utime(place.cache / "swept", (then, then))


def used(place: FarPlace) -> list[str]:
    return sorted(
        path.relative_to(place.cache).parts[0] for path in place.cache.rglob("*") if path.is_file()
    )


def test_a_run_is_marked_with_what_it_uses(place: FarPlace) -> None:
    place.stage(common=("common",))
    marks = (place.cache / "refs" / "5e7-1").read_text().split()
    assert sorted(mark.split("/")[0] for mark in marks) == ["objects", "packs"]
    assert all((place.cache / mark).exists() for mark in marks)
    place.staging.clean(place.layout)
    assert not (place.cache / "refs" / "5e7-1").exists()
    assert all((place.cache / mark).exists() for mark in marks)


def test_what_nobody_used_for_long_goes(place: FarPlace) -> None:
    place.stage(common=("common",))
    place.staging.clean(place.layout)
    age(place, 13)
    place.at("5e7-2")
    place.staging.clean(place.layout)
    assert {"objects", "packs"} <= set(used(place))
    age(place, 2)
    place.staging.clean(place.layout)
    assert used(place) == ["swept"]
    place.stage(common=("common",))
    assert (place.base / "common").read_text() == "common"


def test_what_another_run_uses_stays(place: FarPlace) -> None:
    place.stage(common=("common",))
    was_swept(place, 0)
    age(place, 100)
    place.at("5e7-2")
    place.staging.clean(place.layout)
    assert {"objects", "packs", "refs"} <= set(used(place))


def test_what_was_used_again_is_young(place: FarPlace) -> None:
    place.stage(common=("common",))
    place.staging.clean(place.layout)
    age(place, 100)
    place.at("5e7-2")
    sent = place.sent(lambda: place.stage(common=("common",)))
    place.staging.clean(place.layout)
    was_swept(place, 2)
    place.staging.clean(place.layout)
    assert {"objects", "packs"} <= set(used(place))
    assert sent < 4000


def test_a_new_cache_is_swept_a_day_later(place: FarPlace) -> None:
    place.stage(common=("common",))
    part = place.cache / "tmp" / "5e7-0.1f" / "part"
    place.put(part, "half")
    age(place, 3)
    place.staging.clean(place.layout)
    assert part.exists()
    was_swept(place, 1.1)
    place.staging.clean(place.layout)
    assert not part.exists()


def test_the_cache_is_swept_once_a_day(place: FarPlace) -> None:
    place.stage(common=("common",))
    was_swept(place, 2)
    place.staging.clean(place.layout)
    swept = place.cache / "swept"
    assert time.time() - swept.stat().st_mtime < _DAY
    age(place, 0.5)
    before = swept.stat().st_mtime
    place.staging.clean(place.layout)
    assert swept.stat().st_mtime == before


def test_marks_of_runs_that_are_gone_do_not_stay_for_ever(place: FarPlace) -> None:
    import shutil

    place.stage(common=("common",))
    shutil.rmtree(place.base)
    was_swept(place, 0)
    age(place, 100)
    place.at("5e7-2")
    place.staging.clean(place.layout)
    assert used(place) == ["swept"]


def test_what_a_broken_transfer_left_goes(place: FarPlace) -> None:
    place.put(place.cache / "tmp" / "5e7-0.1f" / "part", "half")
    was_swept(place, 0)
    age(place, 3)
    place.staging.clean(place.layout)
    assert not (place.cache / "tmp" / "5e7-0.1f").exists()


def test_runs_without_files_need_no_cache(place: FarPlace) -> None:
    place.stage(task(forward=()), task("new/deep", forward=()))
    assert (place.base / "new" / "deep").is_dir()
    assert not place.cache.exists()


def test_cleaning_one_run_does_not_open_the_objects_of_others(place: FarPlace) -> None:
    skip_without_plain_host()
    place.staging = Streamed(PlainHost(), str(place.root))
    place.put(place.source / "lib" / "com", "x" * 100_000)
    place.stage(common=("lib",))
    other = place.base / "lib" / "com"
    place.at("5e7-2")
    place.stage(common=("lib",))
    assert other.samefile(place.base / "lib" / "com")
    (place.base / "lib" / "inner").mkdir(mode=0o000)
    (place.base / "lib").chmod(0o500)
    place.staging.clean(place.layout)
    assert not place.base.exists()
    assert oct(other.stat().st_mode & 0o777) == "0o444"
