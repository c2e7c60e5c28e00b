"""Whole submissions: files of every format, every fault at once, references, comments."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.errors import BadInput
from jobferry_common.models.submission import Submission, clean_policy
from jobferry_common.models.task import Task

if TYPE_CHECKING:
    from pathlib import Path

MACHINE = {"batch_type": "Shell", "context_type": "LazyLocalContext", "local_root": "./"}
TASK = {
    "command": "echo hi",
    "task_work_path": "task1/",
    "forward_files": ["in"],
    "backward_files": ["out*"],
    "outlog": "log",
    "errlog": None,
    "task_name": None,
}


def plain(**changes: Any) -> dict[str, Any]:
    data = {
        "work_base": "work",
        "machine": MACHINE,
        "resources": {"group_size": 1},
        "task_list": [TASK],
        "forward_common_files": ["graph.pb"],
        "backward_common_files": [],
    }
    return {**data, **changes}


def problems(data: Any) -> list[str]:
    with pytest.raises(BadInput) as caught:
        Submission.load_from_dict(data, where="submission.json")
    return [str(problem).removeprefix("submission.json: ") for problem in caught.value.problems]


YAML = """
work_base: work
machine: {batch_type: Shell, context_type: LazyLocalContext, local_root: ./}
resources: {group_size: 1}
task_list:
  - {command: echo hi, task_work_path: task1/, forward_files: [in], backward_files: ['out*'], errlog: null}
forward_common_files: [graph.pb]
"""
TOML = """
work_base = "work"
forward_common_files = ["graph.pb"]
[machine]
batch_type = "Shell"
context_type = "LazyLocalContext"
local_root = "./"
[resources]
group_size = 1
[[task_list]]
command = "echo hi"
task_work_path = "task1/"
forward_files = ["in"]
backward_files = ["out*"]
"""


def test_json_yaml_and_toml_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text("\ufeff" + json.dumps(plain()), encoding="utf-8")
    (tmp_path / "s.yml").write_text(YAML, encoding="utf-8")
    (tmp_path / "s.toml").write_text(TOML, encoding="utf-8")
    expected = Submission.load_from_dict(plain())
    assert Submission.load_from_json(tmp_path / "s.json") == expected
    assert Submission.load_from_yaml(tmp_path / "s.yml") == expected
    assert Submission.load_from_file(tmp_path / "s.yml") == expected
    toml = Submission.load_from_toml(tmp_path / "s.toml")
    assert toml.task_list[0].errlog == "err"
    assert toml.resources == expected.resources


def test_all_faults_of_a_file_are_told_at_once() -> None:
    data = plain(
        machine={**MACHINE, "batch_type": "Slrum"},
        resources={"gruop_size": 1, "number_node": "one"},
        task_list=[{**TASK, "command": " "}, {"comand": "x", "task_work_path": "/a"}, 5],
        forward_common_fils=[],
    )
    found = problems(data)
    assert [line.partition(": ")[0] for line in found] == [
        "machine.batch_type",
        "resources.number_node",
        "resources.gruop_size",
        "task_list[0].command",
        "task_list[1].task_work_path",
        "task_list[1].comand",
        "task_list[2]",
        "forward_common_fils",
    ]
    assert found[-2] == "task_list[2]: expected an object of keys and values, got 5"
    assert found[-1].endswith("did you mean 'forward_common_files'?")


def test_what_is_missing_is_described() -> None:
    assert problems({}) == [
        'machine: is missing; expected a machine, or a "cluster" by its name',
        "work_base: is missing; expected the directory of the tasks, below local_root",
        'resources: is missing; expected an object such as {"group_size": 1}',
        "task_list: is missing; expected a list of tasks",
    ]


def test_there_is_one_target() -> None:
    assert problems(plain(cluster="alpha")) == [
        "cluster: stands beside a machine; expected one of the two"
    ]
    assert Submission.load_from_dict(plain(machine=None, cluster="alpha")).cluster == "alpha"
    (problem,) = problems(plain(machine=None, cluster="a/b"))
    assert problem.startswith("cluster: 'a/b' is no name of a cluster")


def test_an_empty_list_of_tasks_is_refused() -> None:
    assert problems(plain(task_list=[])) == ["task_list: is empty; expected at least one task"]


@pytest.mark.parametrize("data", [None, 5, [], "text"])
def test_a_file_that_holds_no_object_is_refused(data: Any, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(BadInput, match=r"s\.json: expected an object of keys and values"):
        Submission.load_from_json(path)


def test_keys_that_begin_with_an_underscore_are_comments() -> None:
    commented = plain(_comment="x", machine={**MACHINE, "_old": 1}, task_list=[{**TASK, "_n": 1}])
    assert Submission.load_from_dict(commented) == Submission.load_from_dict(plain())


def test_the_older_form_calls_the_machine_batch() -> None:
    data = plain(batch=MACHINE)
    del data["machine"]
    assert Submission.load_from_dict(data) == Submission.load_from_dict(plain())


def test_a_syntax_error_is_told_by_line_and_column(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"a": 1,\n}', encoding="utf-8")
    (tmp_path / "s.yaml").write_text("a: [1\nb: 2", encoding="utf-8")
    (tmp_path / "s.toml").write_text("a = ", encoding="utf-8")
    for name, words in (
        ("s.json", "is no JSON: line 2"),
        ("s.yaml", "is no YAML: line 2"),
        ("s.toml", "is no TOML"),
    ):
        with pytest.raises(BadInput, match=words):
            Submission.load_from_file(tmp_path / name)


_TWICE = {
    "s.json": """{"work_base": ".", "_note": 1, "_note": 2, "work_base": "work",
        "machine": {"batch_type": "Shell", "context_type": "Local", "local_root": ".", "remote_root": "r"},
        "resources": {"group_size": 1, "group_size": 2, "envs": {"A": "1", "A": "2"}},
        "task_list": [{"command": "true", "task_work_path": "a", "command": "false", "nmae": "x"}]}""",
    "s.yaml": """
common: &common {task_work_path: a, command: "true"}
work_base: .
work_base: work
machine: {batch_type: Shell, context_type: Local, local_root: ., remote_root: r}
resources: {group_size: 1, group_size: 2, envs: {A: "1", A: "2"}}
task_list:
  - {<<: *common, command: "true", "command": "false", nmae: x}
""",
}


@pytest.mark.parametrize("name", _TWICE)
def test_a_key_that_is_given_twice_is_told_with_all_that_is_wrong_besides(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text(_TWICE[name].replace("common: &", "_common: &"), encoding="utf-8")
    with pytest.raises(BadInput) as caught:
        Submission.load_from_file(tmp_path / name)
    told = {problem.where: problem.what for problem in caught.value.problems}
    once = "is given more than once; expected it once"
    assert told.pop(f"{name}: task_list[0].nmae").startswith("is no known key")
    assert told == {
        f"{name}: work_base": once,
        f"{name}: resources.group_size": once,
        f"{name}: resources.envs.A": once,
        f"{name}: task_list[0].command": once,
    }


def test_in_yaml_what_is_merged_in_may_be_overridden(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    text = _TWICE["s.yaml"].replace("common: &", "_common: &").replace("work_base: .\n", "")
    text = text.replace("group_size: 2, ", "").replace(', A: "2"', "").replace(", nmae: x", "")
    file.write_text(text.replace(', "command": "false"', ""), encoding="utf-8")
    assert Submission.load_from_file(file).task_list[0].task_work_path == "a"


def test_a_key_that_a_referred_file_gives_twice_is_told(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text('{"group_size": 1, "group_size": 2}', encoding="utf-8")
    data = plain(resources={"$ref": "r.json"})
    (tmp_path / "s.json").write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(BadInput, match=r"s.json: resources.group_size: is given more than once"):
        Submission.load_from_file(tmp_path / "s.json", allow_ref=True)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("s.json", '{"work_base": NUMBER}'),
        ("s.yaml", "work_base: NUMBER"),
        ("s.toml", "work_base = NUMBER"),
        ("s.toml", "work_base = 0xNUMBER"),
    ],
)
def test_a_very_long_number_is_told_without_advice_for_programmers(
    tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text.replace("NUMBER", "1" * 10_000), encoding="utf-8")
    with pytest.raises(BadInput, match="digits") as caught:
        Submission.load_from_file(tmp_path / name)
    assert "sys." not in str(caught.value)


def test_yaml_that_stands_for_more_than_it_says_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    for text, words in (
        ("\n".join(lines), "20,000,000 values"),
        ("task_list: &a\n  - *a", "leads in a circle"),
    ):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(BadInput, match=words):
            Submission.load_from_yaml(file)


def test_a_file_that_does_not_exist_is_answered_with_a_near_one(tmp_path: Path) -> None:
    (tmp_path / "submission.json").write_text("{}", encoding="utf-8")
    with pytest.raises(BadInput, match=r"no such file; did you mean 'submission\.json'\?"):
        Submission.load_from_json(tmp_path / "submision.json")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="is no UTF-8 text"):
        Submission.load_from_json(tmp_path / "s.json")


def test_a_reference_is_followed_only_when_that_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "machine.yaml").write_text(
        json.dumps({**MACHINE, "retry_count": 9}), encoding="utf-8"
    )
    path = tmp_path / "s.json"
    path.write_text(
        json.dumps(plain(machine={"$ref": "machine.yaml", "retry_count": 1})), encoding="utf-8"
    )
    with pytest.raises(
        BadInput, match=r"s\.json: \$ref: refers to 'machine\.yaml'; allow it with --allow-ref"
    ):
        Submission.load_from_json(path)
    machine = Submission.load_from_json(path, allow_ref=True).machine
    assert machine is not None
    assert machine.retry_count == 1


def test_a_reference_in_a_circle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text('{"machine": {"$ref": "s.json"}}', encoding="utf-8")
    with pytest.raises(BadInput, match="leads in a circle"):
        Submission.load_from_json(path, allow_ref=True)


def test_a_submission_survives_its_own_serialization() -> None:
    submission = Submission.load_from_dict(plain(name="mine", continue_on_failure=True))
    assert Submission.load_from_dict(submission.serialize()) == submission


def test_models_are_frozen() -> None:
    task = Task(command="true", task_work_path=".")
    with pytest.raises(ValueError, match="frozen"):
        task.command = "false"


@pytest.mark.parametrize(
    ("given", "meant"),
    [(True, "always"), (False, "never"), ("on_success", "on_success"), ("never", "never")],
)
def test_clean_may_be_a_word_or_a_truth_value(given: object, meant: str) -> None:
    assert clean_policy(given) == meant


def test_another_word_for_clean_is_refused() -> None:
    with pytest.raises(BadInput, match="on_success"):
        clean_policy("sometimes")


@pytest.mark.parametrize("name", ["~nobody-has-this-name/s.json", "a" * 300, "a/" * 3000, "\0"])
def test_a_name_that_no_file_can_have_is_told(tmp_path: Path, name: str) -> None:
    for path, allow in ((name, False), (_referring(tmp_path, name), True)):
        with pytest.raises(BadInput):
            Submission.load_from_file(path, allow_ref=allow)


def test_a_device_is_not_read_to_its_end(tmp_path: Path) -> None:
    for path, allow in (("/dev/zero", False), (_referring(tmp_path, "/dev/zero"), True)):
        with pytest.raises(BadInput, match="is a device"):
            Submission.load_from_file(path, allow_ref=allow)


def _referring(directory: Path, name: str) -> Path:
    file = directory / "s.json"
    file.write_text(json.dumps({"$ref": name}), encoding="utf-8")
    return file
