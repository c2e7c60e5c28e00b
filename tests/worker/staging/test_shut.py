"""Results in a directory that the login may not enter: they are told by name, and nothing is taken for missing."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from jobferry_common.errors import StagingError
from jobferry_worker.staging.streamed import Streamed
from tests.worker.staging.places import Place, task
from tests.worker.staging.plain import PlainHost, skip_without_plain_host

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    skip_without_plain_host()
    found = Place(tmp_path)
    found.staging = Streamed(PlainHost(), str(found.root))
    yield found
    for path in found.root.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o700)


def shut(place: Place, name: str, mode: int) -> None:
    place.put(place.base / "t" / name / "x", "precious")
    (place.base / "t" / name).chmod(mode)


@pytest.mark.parametrize(
    ("mode", "pattern"),
    [
        *((mode, "sub") for mode in (0o000, 0o600, 0o300)),
        *((0o000, name) for name in ("sub/deep", "sub/deep/x", "s*/*/x", "sub/deep/*", "**")),
    ],
)
def test_what_may_not_be_entered_stays_and_is_named(place: Place, mode: int, pattern: str) -> None:
    place.put(place.base / "t" / "sub" / "beside", "beside")
    shut(place, "sub/deep", mode)
    one = task(backward=(pattern, "beside*"))
    place.put(place.base / "t" / "beside2", "more")
    lacking = place.lacking(one, succeeded=mode == 0)
    assert [item.name for item in lacking] == [pattern]
    assert f"{place.base}/t/sub/deep: Permission denied" in lacking[0].why
    assert (place.source / "t" / "beside2").exists()
    assert (place.source / "t" / "sub" / "beside").exists() is (pattern in ("sub", "**"))


def test_a_name_to_which_the_way_is_open_comes(place: Place) -> None:
    shut(place, "sub", 0o300)
    assert place.collect(task(backward=("sub/x", "s*"))) == ["s*"]
    assert (place.source / "t" / "sub" / "x").exists()


def test_one_that_nobody_asked_for_is_passed_over(place: Place) -> None:
    place.put(place.base / "t" / "out", "out")
    shut(place, "private", 0o000)
    shut(place, ".hidden", 0o000)
    assert place.collect(task(backward=("out*", "*t"))) == []


def test_common_results_and_links_to_such_a_directory_are_told_too(place: Place) -> None:
    shut(place, "sub", 0o000)
    (place.base / "common").symlink_to("t/sub")
    assert "Permission denied" in place.collect_common("common")[0].why


def test_a_whole_task_or_run_that_may_not_be_entered_is_told(place: Place) -> None:
    place.put(place.base / "t" / "out", "out")
    (place.base / "t").chmod(0o000)
    assert "t: Permission denied" in place.lacking(task())[0].why
    (place.base).chmod(0o000)
    with pytest.raises(StagingError, match="Permission denied"):
        place.lacking(task())


def test_a_file_system_that_fails_is_not_taken_for_empty(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.put(place.base / "t" / "out", "out")
    find = shutil.which("find")
    place.put(
        tmp_path / "bin" / "find",
        f'#!/bin/sh\n{find} "$@"\necho "find: \'./t\': Stale file handle" >&2\nexit 1\n',
    )
    (tmp_path / "bin" / "find").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    with pytest.raises(StagingError, match="Stale file handle"):
        place.lacking(task())
