"""Local: what a task writes as its logs never comes into the producer's own directory by a link."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.worker.staging.places import Place, task

if TYPE_CHECKING:
    from pathlib import Path


def test_a_linked_directory_that_gets_a_log_becomes_a_real_one(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.put(place.source / "t" / "logs" / "old", "old")
    for _ in range(2):
        place.stage(task(forward=("logs",), outlog="logs/out", errlog="logs/err"))
    logs = place.base / "t" / "logs"
    assert not logs.is_symlink()
    assert (logs / "old").read_text() == "old"
    (logs / "out").write_text("new")
    assert [path.name for path in (place.source / "t" / "logs").iterdir()] == ["old"]


def test_a_log_comes_back_in_place_of_the_file_of_its_name(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.put(place.source / "t" / "log", "before\n")
    one = task(forward=("log",), backward=())
    place.stage(one)
    log = place.base / "t" / "log"
    log.unlink()  # as the job's script does
    log.write_text("before\nout\n")
    assert place.collect(one) == []
    assert (place.source / "t" / "log").read_text() == "before\nout\n"
