"""Backward files and success marks: what is done stays done, what is missing is named."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobferry_common.names import AttemptKey
from tests.common.scripts.workbench import names, task

if TYPE_CHECKING:
    from tests.common.scripts.workbench import Workbench


def marks(bench: Workbench) -> list[str]:
    return names(Path(bench.layout.control, "done"))


def test_missing_backward_files_are_named(bench: Workbench) -> None:
    backward = ("there", "nowhere.txt", "*.dat", "sub/x?")
    ran = bench.run([task("mkdir sub; touch there sub/x1", backward=backward)])
    (ended,) = ran.record.tasks
    assert (ended.code, ended.missing, ended.ok) == (0, ("nowhere.txt", "*.dat"), False)
    assert (ran.code, ran.record.first_failure, marks(bench)) == (1, ended, [])


def test_of_a_failed_task_no_file_is_missed(bench: Workbench) -> None:
    (ended,) = bench.run([task("exit 3", backward=("nowhere",))]).record.tasks
    assert (ended.code, ended.missing) == (3, ())


@pytest.mark.parametrize(
    ("made", "pattern", "found"),
    [
        ("a[1].txt", "a[1].txt", True),
        ("a1.txt", "a[1].txt", True),
        ("x", "[x", False),
        ("[x", "[x", True),
        (".hidden", "*", False),
        (".hidden", ".h*", True),
        ("deep/er/file.dat", "**/*.dat", True),
        ("deep/er/file.dat", "deep", True),
        ("deep/file", "deep/", True),
        ("-file", "-*", True),
        (r"back\slash", r"back\s*", True),
        ("A", "a*", False),
    ],
)
def test_patterns_find_what_the_producer_would_find(
    bench: Workbench, made: str, pattern: str, found: bool
) -> None:
    bench.path("work").mkdir(parents=True)
    bench.path("work").joinpath(made).parent.mkdir(parents=True, exist_ok=True)
    bench.path("work").joinpath(made).touch()
    options = ["set -f", "shopt -s failglob nocaseglob dotglob"]
    silent = task("true", backward=(pattern,), outlog=None, errlog=None)
    ran = bench.run([silent], prepend_script=options)
    assert ran.record.succeeded(1) is found


def test_the_next_attempt_runs_only_what_is_not_done(bench: Workbench) -> None:
    tasks = [
        task("echo a >> a"),
        task("echo b >> b; [ -e ../fixed ]"),
        task("echo c >> c; [ ! -e ../fixed ] || touch out", backward=("out",)),
    ]
    first = bench.run(tasks)
    assert (first.codes, marks(bench)) == ({0: 0, 1: 1, 2: 0}, ["0"])
    bench.path("fixed").touch()
    second = bench.run(tasks, attempt=2, id_="4712")
    assert (second.code, second.codes, marks(bench)) == (0, {0: 0, 1: 0, 2: 0}, ["0", "1", "2"])
    assert second.record.succeeded(3)
    assert [bench.text(f"work/{name}") for name in "abc"] == ["a\n", "b\nb\n", "c\nc\n"]
    assert second.record.tasks[0] == first.record.tasks[0]


def test_an_empty_mark_is_no_mark(bench: Workbench) -> None:
    Path(bench.layout.control, "done").mkdir(parents=True)
    Path(bench.layout.done(0)).touch()
    bench.run([task("echo x > ran")])
    assert bench.text("work/ran") == "x\n"


def test_the_end_leaves_a_hint_in_the_spool(bench: Workbench) -> None:
    bench.run([task("exit 1")])
    assert names(bench.layout.spool) == ["3f2a9c01d5e7-1.0.1"]


def test_without_a_spool_the_record_is_written_all_the_same(bench: Workbench) -> None:
    key = AttemptKey(0, 1)
    token = bench.prepare([task("true")], [key])
    Path(bench.layout.spool).rmdir()
    assert bench.finish(bench.start(token), key).record.succeeded(1)


def test_a_record_is_complete_or_not_there(bench: Workbench) -> None:
    bench.run([task("true")])
    assert names(Path(bench.layout.control, "records")) == ["0.1"]
