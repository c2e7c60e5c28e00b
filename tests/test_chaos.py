"""The count of a storm sees what it is there to see: work that is lost, runs twice at once, or does not come back."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.chaos.agenda import Agenda
from tests.chaos.batches import PLACES, batch
from tests.chaos.checker import Count, Results, intervals, overlapping
from tests.chaos.journal import Journal
from tests.chaos.report import Goals, Report
from tests.chaos.task import command, expected, write_inputs, write_script
from tests.testbed.processes import run

if TYPE_CHECKING:
    from pathlib import Path

SEED = 3


def log_of(path: Path, *lines: str) -> Path:
    log = path / "tasks.log"
    log.write_text("".join(f"{line}\n" for line in lines))
    return log


@pytest.mark.parametrize(
    ("second", "number"), [("1.5", 1), ("2.0", 0), ("2.5", 0)], ids=["within", "at", "after"]
)
def test_a_second_start_before_the_first_end_is_an_overlap(
    tmp_path: Path, second: str, number: int
) -> None:
    lines = ("s 0.1 7 100 1.0", f"s 0.1 8 200 {second}", "e 0.1 7 100 2.0", "e 0.1 8 200 3.0")
    assert len(overlapping(intervals(log_of(tmp_path, *lines))["0.1"])) == number


def test_what_never_told_its_end_overlaps_all_that_follows(tmp_path: Path) -> None:
    lines = ("s 0.1 7 100 1.0", "s 0.1 8 200 5.0", "e 0.1 8 200 6.0", "s 0.2 7 100 7.0")
    found = intervals(log_of(tmp_path, *lines))
    assert [(a.id, b.id) for a, b in overlapping(found["0.1"])] == [("7", "8")]
    assert overlapping(found["0.2"]) == []


def counted(tmp_path: Path, spoil: str = "") -> Count:
    """Run the tasks of one batch as a scheduler would, spoil something, and count."""
    number = next(n for n in range(100) if batch(SEED, n).tasks == 5 and not batch(SEED, n).naps)
    one, base = batch(SEED, number), tmp_path / f"b{number}"
    log, script = log_of(tmp_path), tmp_path / "task.sh"
    write_script(script, log)
    write_inputs(base, SEED, one)
    for task in range(one.tasks):
        directory = base / f"t{task}"
        text = command(script, one, task)
        assert run(["bash", "-c", text], cwd=directory).returncode == 0
    if spoil == "content":
        (base / "t3/out").write_text("0\n")
    elif spoil == "gone":
        (base / "t3/out").unlink()
    elif spoil == "never ran":
        log.write_text("".join(log.read_text().splitlines(keepends=True)[:-2]))
    journal = Journal(tmp_path / "p.journal")
    if spoil != "lost":
        journal.note("done", number, "finished")
    results = Results(SEED, tuple(PLACES), [journal])
    results.bases = [tmp_path]
    results.look()
    results.done |= dict.fromkeys(range(number), "cancelled")
    return results.count(number + 1, log)


def test_equal_results_of_tasks_that_ran_are_no_breach(tmp_path: Path) -> None:
    count = counted(tmp_path)
    assert count.breaches() == []
    assert (count.finished, count.executions) == (5, 5)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("content", "1 missing"),
        ("gone", "1 missing"),
        ("never ran", "1 finished without having run"),
        ("lost", "5 lost"),
    ],
)
def test_every_breach_is_seen(tmp_path: Path, spoil: str, words: str) -> None:
    (told,) = counted(tmp_path, spoil).breaches()
    assert told.startswith(words)


REPORT = Report(
    seed=1,
    command="",
    seconds=1.0,
    goals=Goals(jobs=10, kills=2, hits=1),
    count=Count(jobs=10),
    faults={},
    kills=2,
    hits={"after-submit": 1},
    points=("after-submit",),
    adopted=1,
    recalled=1,
    refused=0,
    restored=0,
    put_backs=0,
    resumed=0,
    open_runs=(),
    runs=1,
    retries={},
    strange_ends={},
    impatient=0,
    missing_places=(),
)


@pytest.mark.parametrize(
    ("given_up", "second", "breaches"),
    [(True, "shell-8", 0), (True, "8", 1), (False, "shell-8", 1)],
    ids=["elsewhere", "on the same cluster", "not given up"],
)
def test_only_what_was_given_up_may_still_run_while_another_cluster_does_it(
    tmp_path: Path, given_up: bool, second: str, breaches: int
) -> None:
    number = next(n for n in range(2000) if batch(SEED, n).given_up is given_up)
    key = batch(SEED, number).key(0)
    lines = (f"s {key} 7 100 1.0", f"s {key} {second} 200 1.5", f"e {key} {second} 200 2.0")
    count = Results(SEED, tuple(PLACES), []).count(0, log_of(tmp_path, *lines))
    assert (len(count.overlaps), count.given_up) == (breaches, 1 - breaches)


def test_a_storm_that_tested_nothing_is_no_success() -> None:
    assert REPORT.ok
    less: list[dict[str, Any]] = [
        {"adopted": 0},
        {"recalled": 0},
        {"kills": 1},
        {"hits": {}},
        {"count": Count(jobs=9)},
    ]
    assert not any(replace(REPORT, **change).ok for change in less)
    assert not replace(REPORT, open_runs=("5e7-1 active",)).ok
    assert "TOO LITTLE" in replace(REPORT, adopted=0).text()


def test_batches_depend_on_seed_and_number_alone() -> None:
    first, again = ([batch(SEED, number) for number in range(50)] for _ in range(2))
    assert first == again
    assert first != [batch(SEED + 1, number) for number in range(50)]
    assert {one.place for one in first} == set(PLACES)
    assert len({expected(SEED, one, 0) for one in first}) == 50


def test_points_come_until_each_was_hit_often_enough() -> None:
    agenda = Agenda(["a", "b"], hits=3, dice=random.Random(SEED))
    drawn = {part.partition(":")[0] for _ in range(20) for part in agenda.draw().split(",")}
    assert drawn == {"a", "b"}
    agenda.take({"a": 3, "b": 2})
    assert agenda.draw().startswith("b:")
    assert agenda.missing == {"b": 1}
    agenda.take({"a": 3, "b": 4})
    assert agenda.draw() == ""


def test_a_journal_gives_each_whole_line_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    assert journal.news() == []
    journal.note("run", 12, "5e7-1")
    with (tmp_path / "journal").open("a") as file:
        file.write("done 1")
        file.flush()
        assert journal.news() == [("run", 12, "5e7-1")]
        file.write("2 finished\n")
    assert journal.news() == [("done", 12, "finished")]
