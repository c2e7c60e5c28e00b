"""From a script to its submission: the script travels with the tasks, globs mean directories."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobferry import BadInput
from jobferry.script import load_script
from tests.common.models.test_script import TABLE, script

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("work/case1", "work/case 2", "work/other"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "work/case.txt").touch()
    (tmp_path / "work/in").touch()
    (tmp_path / "work/graph.pb").touch()
    return tmp_path


def test_each_directory_that_a_pattern_means_has_a_task(folder: Path) -> None:
    submission = load_script(script(folder / "work", TABLE))
    told = [(task.task_work_path, task.command) for task in submission.task_list]
    assert told == [
        ("case 2", "python ../script.py"),
        ("case1", "python ../script.py"),
        ("./", "uv run script.py"),
    ]
    assert submission.forward_common_files == ["graph.pb", "script.py"]
    assert submission.prepare().header.tasks == 3


def test_the_name_of_a_script_is_one_word(folder: Path) -> None:
    file = script(folder / "work", TABLE)
    file = file.rename(file.with_name("it's; rm.py"))
    commands = {task.command for task in load_script(file).task_list}
    assert "uv run 'it'\\''s; rm.py'" in commands


def test_a_script_outside_of_the_work_base_is_refused(folder: Path) -> None:
    with pytest.raises(BadInput, match="lies outside of its work base"):
        load_script(script(folder, TABLE))


def test_a_pattern_that_means_nothing_is_told(folder: Path) -> None:
    with pytest.raises(
        BadInput, match=r"task_list\[0\].task_work_path: 'none\*' means no directory"
    ):
        load_script(script(folder / "work", TABLE.replace("case*", "none*")))
