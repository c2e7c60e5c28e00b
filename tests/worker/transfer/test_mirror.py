"""The mirror of a producer's directory: filled, filled again after a kill, and its cache."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from jobferry_common.depot.depot import Depot
from jobferry_common.depot.sending import send
from jobferry_common.depot.tree import Tree
from jobferry_common.names import RunId
from jobferry_worker.transfer.mirror import Mirror

if TYPE_CHECKING:
    from pathlib import Path

    from jobferry_common.depot.manifest import Manifest

ONE, TWO = RunId("5e7-1"), RunId("5e7-2")


@pytest.fixture
def manifest(depot: Depot, tmp_path: Path) -> Manifest:
    """One large and some small files, and an empty directory."""
    source = tmp_path / "source"
    (source / "lib" / "empty").mkdir(parents=True)
    (source / "lib" / "large").write_bytes(os.urandom(100_000))
    (source / "lib" / "run").write_text("#!/bin/sh\n")
    (source / "lib" / "run").chmod(0o750)
    return depot.manifest(send(depot, "me", Tree(str(source)).named("", ["lib"])))


def calm() -> None:
    """Nothing has to be renewed."""


def cached(home: Path) -> Path:
    (path,) = home.glob("objects/*/*")
    return path


def test_it_holds_what_the_producer_has(depot: Depot, manifest: Manifest, tmp_path: Path) -> None:
    mirror = Mirror(tmp_path / "home", ONE)
    mirror.fill(depot, manifest, calm, linked=True)
    for name in ("lib/large", "lib/run"):
        one, other = mirror.files / name, tmp_path / "source" / name
        assert one.read_bytes() == other.read_bytes()
        assert one.stat().st_mtime_ns == other.stat().st_mtime_ns
        assert stat.S_IMODE(one.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)
    assert (mirror.files / "lib" / "empty").is_dir()
    assert (mirror.is_filled, mirror.news(["."])) == (True, [])


def test_a_second_run_need_not_fetch_what_the_first_did(
    depot: Depot, manifest: Manifest, tmp_path: Path
) -> None:
    Mirror(tmp_path / "home", ONE).fill(depot, manifest, calm, linked=True)
    large = cached(tmp_path / "home").name
    depot.store.remove([large])
    mirror = Mirror(tmp_path / "home", TWO)
    mirror.fill(depot, manifest, calm, linked=True)
    assert (mirror.files / "lib" / "large").samefile(cached(tmp_path / "home"))


def test_what_was_written_to_in_the_cache_is_fetched_again(
    depot: Depot, manifest: Manifest, tmp_path: Path
) -> None:
    Mirror(tmp_path / "home", ONE).fill(depot, manifest, calm, linked=True)
    with cached(tmp_path / "home").open("ab") as file:
        file.write(b"poison")
    mirror = Mirror(tmp_path / "home", TWO)
    mirror.fill(depot, manifest, calm, linked=True)
    right = (tmp_path / "source" / "lib" / "large").read_bytes()
    assert (mirror.files / "lib" / "large").read_bytes() == right


def test_where_jobs_write_through_links_nothing_is_shared(
    depot: Depot, manifest: Manifest, tmp_path: Path
) -> None:
    mirror = Mirror(tmp_path / "home", ONE)
    mirror.fill(depot, manifest, calm, linked=False)
    assert not (mirror.files / "lib" / "large").samefile(cached(tmp_path / "home"))


def test_a_fill_that_was_cut_short_is_done_again(
    depot: Depot, manifest: Manifest, tmp_path: Path
) -> None:
    mirror = Mirror(tmp_path / "home", ONE)

    def killed() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mirror.fill(depot, manifest, killed, linked=True)
    assert not mirror.is_filled
    mirror.fill(depot, manifest, calm, linked=True)
    assert (mirror.is_filled, mirror.news(["."])) == (True, [])


def test_results_are_what_was_not_brought(depot: Depot, manifest: Manifest, tmp_path: Path) -> None:
    mirror = Mirror(tmp_path / "home", ONE)
    mirror.fill(depot, manifest, calm, linked=False)
    (mirror.files / "t1" / "deep").mkdir(parents=True)
    (mirror.files / "t1" / "deep" / "out").write_text("x")
    (mirror.files / "t2").mkdir()
    (mirror.files / "t2" / "out").write_text("x")
    (mirror.files / "lib" / "run").write_text("changed by a task")
    (mirror.files / "t1" / ".jobferry-0123.part").write_text("half")
    assert [item.path for item in mirror.news(["t1"])] == ["t1/deep", "t1/deep/out"]
    everything = {item.path for item in mirror.news(["."])}
    assert everything == {"t1", "t1/deep", "t1/deep/out", "t2", "t2/out", "lib/run"}


def test_what_was_sent_is_no_news_also_after_a_restart(
    depot: Depot, manifest: Manifest, tmp_path: Path
) -> None:
    mirror = Mirror(tmp_path / "home", ONE)
    mirror.fill(depot, manifest, calm, linked=True)
    (mirror.files / "out").write_text("x")
    mirror.sent(mirror.news(["."]))
    again = Mirror(tmp_path / "home", ONE)
    assert (mirror.news(["."]), again.news(["."])) == ([], [])
    (mirror.files / "out").write_text("longer")
    assert [item.path for item in again.news(["."])] == ["out"]
    again.forget_sent()
    assert [item.path for item in again.news(["."])] == ["out"]
    assert (mirror.files / "lib" / "large").exists()


def test_a_note_that_was_cut_short_is_made_again(
    depot: Depot, manifest: Manifest, tmp_path: Path
) -> None:
    mirror = Mirror(tmp_path / "home", ONE)
    mirror.fill(depot, manifest, calm, linked=True)
    (mirror.files / "out").write_text("x")
    known = tmp_path / "home" / ONE / "known"
    with known.open("a") as file:
        file.write('\n{"out": [1, 2')  # killed here
    again = Mirror(tmp_path / "home", ONE)
    assert [item.path for item in again.news(["."])] == ["out"]
    again.sent(again.news(["."]))
    assert Mirror(tmp_path / "home", ONE).news(["."]) == []


def test_the_cache_keeps_what_was_used_of_late(
    depot: Depot, manifest: Manifest, tmp_path: Path
) -> None:
    mirror = Mirror(tmp_path / "home", ONE)
    mirror.fill(depot, manifest, calm, linked=True)
    mirror.remove(cache_days=1)
    assert not mirror.files.exists()
    assert cached(tmp_path / "home").exists()
    mirror.remove(cache_days=0)
    assert list((tmp_path / "home").glob("objects/*/*")) == []
