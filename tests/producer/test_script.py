"""From a script to its submission: the script travels with the tasks, globs mean directories."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobferry import BadInput
from jobferry.script import load_script
from jobferry_common.models.cluster import ClusterProfile
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


def test_a_working_directory_that_was_removed_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = folder / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(BadInput, match="the working directory: it cannot be told"):
        load_script(script(folder / "work", TABLE))


def test_the_name_of_a_script_is_one_word(folder: Path) -> None:
    file = script(folder / "work", TABLE)
    file = file.rename(file.with_name("it's; rm.py"))
    commands = {task.command for task in load_script(file).task_list}
    assert "uv run 'it'\\''s; rm.py'" in commands


def test_a_script_outside_of_its_work_base_is_copied_there(folder: Path) -> None:
    made: list[Path] = []
    file = script(folder, TABLE)
    submission = load_script(file, made=made)
    [copy] = made
    assert copy.parent == folder / "work"
    assert copy.read_bytes() == file.read_bytes()
    assert submission.forward_common_files == ["graph.pb", copy.name]
    assert {f"python ../{copy.name}", f"uv run {copy.name}"} == {
        task.command for task in submission.task_list
    }
    assert submission.prepare().header.tasks == 3
    again: list[Path] = []
    assert load_script(file, made=again).submission_hash == submission.submission_hash
    assert again == []


def test_a_copy_that_somebody_changed_is_made_anew(folder: Path) -> None:
    made: list[Path] = []
    file = script(folder, TABLE)
    load_script(file, made=made)
    made[0].write_text("something else")
    load_script(file)
    assert made[0].read_bytes() == file.read_bytes()


def test_a_work_base_that_does_not_take_the_script_is_told(folder: Path) -> None:
    with pytest.raises(BadInput, match="cannot be copied there") as caught:
        load_script(script(folder, TABLE.replace('work_base = "work"', 'work_base = "nowhere"')))
    assert "script.py" in str(caught.value)


def test_the_work_base_is_below_the_named_clusters_local_root(folder: Path) -> None:
    (folder / "elsewhere/work/case9").mkdir(parents=True)
    (folder / "elsewhere/work/case.txt").touch()
    profile = ClusterProfile.load_from_dict(
        {
            "batch_type": "Shell",
            "context_type": "LazyLocal",
            "local_root": str(folder / "elsewhere"),
        }
    )
    head, _, rest = TABLE.partition("[tool.jobferry.machine]\n")
    table = f'{head}cluster = "here"\n{rest[rest.index("[tool.jobferry.resources]") :]}'
    submission = load_script(script(folder / "elsewhere/work", table), clusters={"here": profile})
    assert [task.task_work_path for task in submission.task_list] == ["case9", "./"]
    assert submission.forward_common_files == ["graph.pb", "script.py"]


def test_a_pattern_that_means_nothing_is_told(folder: Path) -> None:
    with pytest.raises(
        BadInput, match=r"task_list\[0\].task_work_path: 'none\*' means no directory"
    ):
        load_script(script(folder / "work", TABLE.replace("case*", "none*")))
