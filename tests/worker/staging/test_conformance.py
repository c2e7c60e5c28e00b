"""What all stagings have in common: files go to the run's directory and back; nothing else is touched."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobferry_common.errors import StagingError
from jobferry_worker.staging.copying import part_of
from tests.worker.staging.places import STAGINGS, Place, task


@pytest.fixture(params=STAGINGS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(tmp_path, request.param)


def test_staging_twice_is_staging_once(place: Place) -> None:
    place.put(place.source / "lib" / "a", "a")
    for _ in range(2):
        place.stage(task(), task("lib/t2", forward=()), common=("lib",))
    assert (place.base / "lib" / "a").read_text(encoding="utf-8") == "a"


def test_what_a_job_put_in_the_place_of_an_input_is_replaced_when_it_is_staged_again(
    place: Place, tmp_path: Path
) -> None:
    inputs = ("t/in", "t/gone", "graph.pb")
    for name in inputs:
        place.put(place.source / name, name)
    stranger = tmp_path / "stranger"
    place.put(stranger, "not ours")
    place.stage(task(forward=("in", "gone")), common=("graph.pb",))
    for name in inputs:
        (place.base / name).unlink()
    place.put(place.base / "t" / "in", "a result")
    (place.base / "t" / "gone").symlink_to("nowhere")
    (place.base / "graph.pb").symlink_to(stranger)
    place.stage(task(forward=("in", "gone")), common=("graph.pb",))
    for name in inputs:
        assert (place.base / name).read_text(encoding="utf-8") == name
        assert (place.source / name).read_text(encoding="utf-8") == name
    assert stranger.read_text(encoding="utf-8") == "not ours"


def test_common_files_stand_beside_the_tasks(place: Place) -> None:
    place.put(place.source / "graph.pb", "graph")
    place.put(place.source / "lib" / "deep" / "x", "x")
    place.stage(common=("graph.pb", "lib"))
    assert (place.base / "graph.pb").read_text(encoding="utf-8") == "graph"
    assert (place.base / "lib" / "deep" / "x").read_text(encoding="utf-8") == "x"


def test_a_task_inside_a_common_directory_writes_nothing_into_the_producers(place: Place) -> None:
    place.put(place.source / "lib" / "x", "x")
    place.put(place.source / "lib" / "t2" / "in", "two")
    place.stage(task("lib/t2"), task("lib/t3", forward=()), common=("lib",))
    (place.base / "lib" / "t3" / "out").write_text("new", encoding="utf-8")
    (place.base / "lib" / "t2" / "out").write_text("new", encoding="utf-8")
    assert sorted(path.name for path in (place.source / "lib").rglob("*")) == ["in", "t2", "x"]
    assert (place.base / "lib" / "x").read_text(encoding="utf-8") == "x"
    assert (place.base / "lib" / "t2" / "in").read_text(encoding="utf-8") == "two"


def test_a_file_that_went_away_is_named(place: Place) -> None:
    (place.source / "t" / "in").unlink()
    with pytest.raises(StagingError, match=r"cannot bring .*source/t/in: No such file"):
        place.stage()


def test_a_producers_directory_that_is_not_here_is_not_made(place: Place) -> None:
    shutil.rmtree(place.source)
    with pytest.raises(StagingError, match="where alice@laptop keeps the files"):
        place.stage()
    with pytest.raises(StagingError, match="a file system that producer and worker share"):
        place.collect()
    assert not place.source.exists()


def test_results_and_logs_come_back(place: Place) -> None:
    for name in ("out", "log", "err", "other"):
        place.put(place.base / "t" / name, name)
    assert place.collect() == []
    assert {path.name for path in (place.source / "t").iterdir()} == {"in", "out", "log", "err"}
    assert (place.source / "t" / "out").read_text(encoding="utf-8") == "out"
    assert not (place.source / "t" / "out").is_symlink()


def test_a_missing_result_of_a_successful_task_is_told_by_name(place: Place) -> None:
    place.put(place.base / "t" / "a.dat")
    assert place.collect(task(backward=("out", "*.dat", "*.none"))) == ["out", "*.none"]


def test_a_failed_task_gives_back_its_logs_and_what_there_is(place: Place) -> None:
    place.put(place.base / "t" / "err", "boom")
    place.put(place.base / "t" / "a.dat", "part")
    assert place.collect(task(backward=("out", "*.dat")), succeeded=False) == []
    assert (place.source / "t" / "err").read_text(encoding="utf-8") == "boom"
    assert (place.source / "t" / "a.dat").exists()


def test_the_result_of_a_task_that_has_no_directory_yet_gets_one(place: Place) -> None:
    place.put(place.base / "new" / "deep" / "out", "x")
    place.collect(task("new/deep"))
    assert (place.source / "new" / "deep" / "out").read_text(encoding="utf-8") == "x"


def test_a_directory_comes_back_with_all_that_is_in_it(place: Place) -> None:
    place.put(place.base / "t" / "traj" / "a", "a")
    place.put(place.base / "t" / "traj" / "deep" / "b", "b")
    (place.base / "t" / "traj" / "empty").mkdir()
    place.put(place.source / "t" / "traj" / "old", "kept")
    place.collect(task(backward=("traj",)))
    back = place.source / "t" / "traj"
    assert sorted(str(path.relative_to(back)) for path in back.rglob("*")) == [
        "a", "deep", "deep/b", "empty", "old",
    ]  # fmt: skip


def test_a_later_result_replaces_an_older_one(place: Place) -> None:
    place.put(place.source / "t" / "out", "older")
    place.put(place.base / "t" / "out", "newer")
    stamp = (place.base / "t" / "out").stat().st_mtime_ns
    os.utime(place.source / "t" / "out", ns=(stamp, stamp))
    place.collect()
    assert (place.source / "t" / "out").read_text(encoding="utf-8") == "newer"


def test_a_linked_result_comes_back_as_a_file_of_its_own(place: Place, tmp_path: Path) -> None:
    place.put(tmp_path / "elsewhere" / "big", "big")
    (place.base / "t").mkdir(parents=True)
    (place.base / "t" / "out").symlink_to(tmp_path / "elsewhere" / "big")
    place.collect()
    back = place.source / "t" / "out"
    assert not back.is_symlink()
    assert back.stat().st_ino != (tmp_path / "elsewhere" / "big").stat().st_ino
    assert back.read_text(encoding="utf-8") == "big"


def test_a_link_to_nothing_is_a_missing_result(place: Place) -> None:
    (place.base / "t").mkdir(parents=True)
    (place.base / "t" / "out").symlink_to("nowhere")
    assert place.collect() == ["out"]


def test_links_in_a_circle_and_pipes_are_passed_over(place: Place) -> None:
    place.put(place.base / "t" / "d" / "a", "a")
    (place.base / "t" / "d" / "again").symlink_to(".")
    (place.base / "t" / "d" / "self").symlink_to("self")
    os.mkfifo(place.base / "t" / "d" / "pipe")
    place.collect(task(backward=("d",)))
    assert [path.name for path in (place.source / "t" / "d").iterdir()] == ["a"]


def test_a_link_to_what_everything_is_in_is_passed_over(place: Place) -> None:
    place.put(place.base / "t" / "d" / "a", "a")
    for name, target in (("root", "/"), ("mine", place.source.parent), ("base", place.base)):
        (place.base / "t" / "d" / name).symlink_to(target)
    place.collect(task(backward=("d",)))
    assert [path.name for path in (place.source / "t" / "d").iterdir()] == ["a"]


def test_a_result_in_a_directory_that_a_task_put_elsewhere_is_copied(
    place: Place, tmp_path: Path
) -> None:
    place.put(tmp_path / "elsewhere" / "out", "result")
    place.base.mkdir(parents=True, exist_ok=True)
    (place.base / "t").symlink_to(tmp_path / "elsewhere")
    place.collect()
    back = place.source / "t" / "out"
    assert back.read_text(encoding="utf-8") == "result"
    assert back.stat().st_nlink == 1


def test_nothing_is_written_through_a_link_that_leads_out(place: Place, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (place.source / "t" / "traj").symlink_to(tmp_path / "outside")
    place.put(place.base / "t" / "traj" / "a", "a")
    place.put(place.base / "t" / "out", "result")
    [lack] = place.lacking(task(backward=("traj", "out")))
    assert "nothing is written there: remove that link" in lack.why
    assert (place.source / "t" / "out").exists()
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_link_in_the_place_of_a_result_is_replaced_not_followed(
    place: Place, tmp_path: Path
) -> None:
    place.put(tmp_path / "precious", "precious")
    (place.source / "t" / "out").symlink_to(tmp_path / "precious")
    place.put(place.base / "t" / "out", "result")
    place.collect()
    assert (tmp_path / "precious").read_text(encoding="utf-8") == "precious"
    assert (place.source / "t" / "out").read_text(encoding="utf-8") == "result"


@pytest.mark.parametrize("succeeded", [True, False])
def test_a_directory_in_the_place_of_a_result_does_not_keep_the_others(
    place: Place, *, succeeded: bool
) -> None:
    for name in ("log", "out", "more"):
        place.put(place.base / "t" / name, name)
    (place.source / "t" / "out").mkdir()
    [lack] = place.lacking(task(backward=("out", "more")), succeeded=succeeded)
    assert (lack.name, f"{place.source}/t/out: Is a directory" in lack.why) == ("out", True)
    assert sorted(path.name for path in (place.source / "t").iterdir()) == [
        "in", "log", "more", "out",
    ]  # fmt: skip


def test_a_common_result_that_cannot_be_put_in_its_place_is_told(place: Place) -> None:
    place.put(place.base / "all.csv", "x")
    (place.source / "all.csv").mkdir()
    [lack] = place.collect_common("all.csv")
    assert "'all.csv' of the submission stays on the cluster" in str(lack)


def test_common_results_come_back_and_missing_ones_are_named(place: Place) -> None:
    place.put(place.base / "all.csv", "x")
    lacking = place.collect_common("all.csv", "sum")
    assert [str(one) for one in lacking] == [
        "'sum', a backward file of the submission, does not exist"
    ]
    assert (place.source / "all.csv").exists()


def test_clean_removes_the_run_and_nothing_else(place: Place) -> None:
    place.stage()
    place.put(place.root / "5e7-2" / "t" / "out")
    locked = place.base / "t" / "locked"
    place.put(locked / "x")
    locked.chmod(0o500)
    for _ in range(2):
        place.staging.clean(place.layout)
    assert not place.base.exists()
    assert (place.source / "t" / "in").exists()
    assert (place.root / "5e7-2" / "t" / "out").exists()


def test_clean_refuses_a_directory_that_is_not_the_runs(place: Place) -> None:
    strange = replace(place.layout, base=str(place.source))
    with pytest.raises(StagingError, match="it is left alone"):
        place.staging.clean(strange)
    assert place.source.exists()


def test_an_input_that_is_also_a_result_stays_where_it_is(place: Place) -> None:
    place.stage()
    inode = (place.source / "t" / "in").stat().st_ino
    assert place.collect(task(backward=("in",))) == []
    assert (place.source / "t" / "in").stat().st_ino == inode
    assert not (place.source / "t" / "in").is_symlink()


def test_what_is_left_of_a_killed_transfer_does_not_disturb(place: Place) -> None:
    place.put(place.base / "t" / "out", "whole")
    place.put(place.source / "x", "")
    os.link(place.source / "x", part_of(str(place.source / "t" / "out")))
    place.collect()
    assert sorted(path.name for path in (place.source / "t").iterdir()) == ["in", "out"]
    assert (place.source / "t" / "out").read_text(encoding="utf-8") == "whole"


names = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/"), min_size=1, max_size=30
).filter(lambda name: name not in (".", "..", ".jobferry") and len(name.encode()) < 100)


@given(path=names, name=names, staging=st.sampled_from([*STAGINGS]))
@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
def test_files_of_every_legal_name_go_and_come_back(
    tmp_path_factory: pytest.TempPathFactory, path: str, name: str, staging: str
) -> None:
    place = Place(tmp_path_factory.mktemp("names"), staging)
    place.put(place.source / path / f"{name}.in", "input")
    spec = task(path, forward=(f"{name}.in",), backward=(f"{name}.out",))
    place.stage(spec)
    shutil.copyfile(place.base / path / f"{name}.in", place.base / path / f"{name}.out")
    assert place.collect(spec) == []
    assert (place.source / path / f"{name}.out").read_text(encoding="utf-8") == "input"
