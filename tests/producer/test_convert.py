"""Older files in today's form."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
import yaml

from jobferry import BadInput, Machine, Submission
from jobferry.convert import converted, write

if TYPE_CHECKING:
    from pathlib import Path

OLD = {
    "_comment": "of 2020",
    "batch": {
        "batch_type": "sge",
        "context_type": "localcontext",
        "local_root": "./",
        "remote_root": "./tmp",
    },
    "resources": {"group_size": 2, "kwargs": {"sge_pe_name": "smp"}, "batch_type": "sge"},
}
OLD_TOML = """
[batch]
batch_type = "sge"
context_type = "localcontext"
local_root = "./"
remote_root = "./tmp"
[resources]
group_size = 2
[resources.kwargs]
sge_pe_name = "smp"
"""
CHANGES = {
    "batch → machine",
    "machine.batch_type: 'sge' → 'SGE'",
    "machine.context_type: 'localcontext' → 'Local'",
    "resources.batch_type: 'sge' → 'SGE'",
    "resources.kwargs.sge_pe_name → pe_name",
}


@pytest.mark.parametrize("suffix", ["json", "yaml"])
def test_an_older_file_says_the_same_in_todays_form(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"machine.{suffix}"
    file.write_text(json.dumps(OLD) if suffix == "json" else yaml.safe_dump(OLD))
    before = Machine.load_from_file(file)
    data, changes = converted(file)
    assert set(changes) == CHANGES
    write(data, file)
    after = Machine.load_from_file(file)
    assert (after, after.resources) == (before, before.resources)
    assert converted(file)[1] == []
    assert next(iter(data)) == "_comment"


def test_tasks_that_stood_in_jobs_stand_in_a_list(tmp_path: Path) -> None:
    tasks = [{"command": "true", "task_work_path": name} for name in ("a", "b")]
    old = {
        **OLD,
        "work_base": "w",
        "belonging_jobs": [{"hash": {"job_task_list": tasks, "resources": {}, "job_state": 5}}],
    }
    file = tmp_path / "old.json"
    file.write_text(json.dumps(old))
    data, changes = converted(file)
    assert "belonging_jobs → task_list" in changes
    assert data["task_list"] == tasks
    assert Submission.load_from_dict(data).model() == Submission.load(file).model()


def test_tasks_that_stood_beside_no_jobs_stand_in_a_list(tmp_path: Path) -> None:
    tasks = [{"command": "true", "task_work_path": "a"}]
    old = {**OLD, "work_base": "w", "belonging_tasks": tasks, "belonging_jobs": []}
    file = tmp_path / "old.json"
    file.write_text(json.dumps(old))
    data, changes = converted(file)
    assert {"belonging_jobs → task_list", "belonging_tasks → task_list"} <= set(changes)
    assert data["task_list"] == tasks
    assert "belonging_jobs" not in data


def test_a_reference_stays(tmp_path: Path) -> None:
    (tmp_path / "machine.json").write_text(json.dumps(OLD["batch"]))
    file = tmp_path / "old.json"
    file.write_text(json.dumps({"batch": {"$ref": "machine.json"}, "resources": OLD["resources"]}))
    with pytest.raises(BadInput, match="--allow-ref"):
        converted(file)
    assert converted(file, allow_ref=True)[0]["machine"] == {"$ref": "machine.json"}


def test_what_is_wrong_in_itself_is_told_and_nothing_written(tmp_path: Path) -> None:
    file = tmp_path / "old.json"
    file.write_text(json.dumps({**OLD, "resources": {"gruop_size": 2}}))
    with pytest.raises(BadInput, match="'group_size'"):
        converted(file)
    file.write_text('{"hello": 1}')
    with pytest.raises(BadInput, match="is no submission, machine, resources or task"):
        converted(file)


def test_toml_is_written_where_toml_is_given(tmp_path: Path) -> None:
    file = tmp_path / "machine.toml"
    file.write_text(OLD_TOML)
    before = Machine.load_from_file(file)
    data, changes = converted(file)
    assert changes
    write(data, file)
    after = Machine.load_from_toml(file)
    assert (after, after.resources) == (before, before.resources)
    assert converted(file)[1] == []
    assert [path.name for path in tmp_path.iterdir()] == ["machine.toml"]


def test_what_toml_cannot_say_is_told_by_its_place(tmp_path: Path) -> None:
    data = {"task_list": [{"command": "true", "errlog": None}]}
    file = tmp_path / "task.toml"
    with pytest.raises(BadInput, match=r"task_list\.0\.errlog: is null, which TOML cannot say"):
        write(data, file)
    assert not file.exists()


def test_nothing_takes_the_place_of_what_is_no_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    end = os.open(pipe, os.O_RDWR)
    write({"group_size": 1}, pipe)
    assert pipe.is_fifo()
    assert json.loads(os.read(end, 1000)) == {"group_size": 1}
    os.close(end)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("_when: 2020-01-01", "new.json"),
        ("_key: !!binary aGVsbG8=", "new.json"),
        ("_key: !!set {a, b}", "new.toml"),
        ('_key: "\\ud800"', "new.json"),
    ],
)
def test_what_a_format_has_no_words_for_is_told(given: str, name: str, tmp_path: Path) -> None:
    file, new = tmp_path / "old.yaml", tmp_path / name
    file.write_text(f"group_size: 1\n{given}\n")
    data, _ = converted(file)
    with pytest.raises(BadInput, match="this format has no words for a value"):
        write(data, new)
    assert not new.exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("deep.json", f'{{"task_list": {"[" * 900}{"]" * 900}}}'),
        ("deep.toml", f"group_size = 1\n_note{'.a' * 2000} = 1\n"),
    ],
)
def test_what_is_nested_too_deeply_is_told(name: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(BadInput, match="is nested too deeply"):
        converted(file)
