"""Scripts must cost little: few processes of their own, and quick to render."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from jobferry_common.names import AttemptKey
from tests.common.scripts.workbench import task

if TYPE_CHECKING:
    from pathlib import Path

    from tests.common.scripts.workbench import Workbench


@pytest.fixture
def programs(bench: Workbench, tmp_path: Path) -> Path:
    """Put wrappers that write down their calls in the place of all programs."""
    calls, wrappers = tmp_path / "calls", tmp_path / "bin"
    wrappers.mkdir()
    calls.touch()
    for name in ("mv", "mkdir", "cat", "rm", "date", "sed", "sleep", "touch", "ln", "hostname"):
        wrapper = wrappers / name
        wrapper.write_text(f'#!/bin/sh\necho {name} >> {calls}\nexec {shutil.which(name)} "$@"\n')
        wrapper.chmod(0o755)
    bench.environment = {"PATH": str(wrappers)}
    return calls


def test_a_job_starts_no_program_of_its_own(bench: Workbench, programs: Path) -> None:
    work = bench.path("work")
    work.mkdir(parents=True)
    (work / "in").write_text("x")
    ran = bench.run(
        [task("cat in > out", backward=("out",))], envs={"A": "b"}, append_script=["true"]
    )
    assert ran.record.succeeded(1)
    assert programs.read_text().split() == ["cat"]


def test_many_tasks_need_one_program_for_all(bench: Workbench, programs: Path) -> None:
    bench.path("work").mkdir(parents=True)
    ran = bench.run([task("true", backward=("log",)) for _ in range(20)], para_deg=4)
    assert ran.record.succeeded(20)
    assert programs.read_text().split() == ["mv"]


def test_files_of_a_thousand_equal_jobs_are_few(bench: Workbench) -> None:
    tasks = [task("lmp -in in", f"task{number}", backward=("out",)) for number in range(1000)]
    token = bench.prepare(tasks, [AttemptKey(number, 1) for number in range(1000)], group_size=1)
    assert sum(len(files) for _, _, files in os.walk(bench.layout.control)) == 1000 + 4
    assert (
        bench.finish(bench.start(token, index=999), AttemptKey(999, 1)).record.tasks[0].task == 999
    )
