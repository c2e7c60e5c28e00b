"""Programs for DPDispatcher call models in its ways."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jobferry_common.models.machine import Machine
from jobferry_common.models.resources import Resources
from jobferry_common.models.task import Task

#: by position, which no type says
TASK: Any = Task
#: kind, what its first argument is called there, and plain values of it
KINDS: list[tuple[type[Machine | Resources | Task], str, dict[str, Any]]] = [
    (Machine, "machine", {"batch_type": "Shell", "context_type": "LazyLocal", "local_root": "."}),
    (Resources, "resources", {"group_size": 2}),
    (Task, "task", {"command": "true", "task_work_path": "a"}),
]


@pytest.mark.parametrize(("kind", "name", "plain"), KINDS)
def test_arguments_go_by_the_names_of_dpdispatcher(
    kind: Any, name: str, plain: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "it.json"
    file.write_text(json.dumps(plain))
    found = kind.load_from_dict(plain)
    assert found == kind.load_from_dict(**{f"{name}_dict": plain})
    assert found == kind.deserialize(**{f"{name}_dict": plain})
    first = "path" if kind is Machine else "file"
    assert found == kind.load_from_json(**{f"json_{first}": file})
    assert found == kind.load_from_yaml(**{f"yaml_{first}": file})


@pytest.mark.parametrize(("kind", "name", "plain"), KINDS)
def test_a_value_is_read_by_its_name(kind: Any, name: str, plain: dict[str, Any]) -> None:
    found = kind.load_from_dict(plain)
    for key, value in plain.items():
        assert found[key] == value
    with pytest.raises(KeyError):
        found[f"no_{name}"]


def test_paths_may_be_paths() -> None:
    given: list[Any] = ["true", Path("a"), [Path("in")], [Path("out")], Path("log")]
    assert TASK(*given) == Task(
        command="true",
        task_work_path="a",
        forward_files=["in"],
        backward_files=["out"],
        outlog="log",
    )


def test_none_is_nothing_where_a_list_or_an_object_is_meant() -> None:
    given: dict[str, Any] = {"custom_flags": None, "strategy": None, "envs": None, "kwargs": None}
    assert Resources(group_size=1, **given) == Resources(group_size=1)
    silent = Task(command="true", task_work_path="a", outlog=None)
    assert (silent.outlog, silent.errlog) == (None, "err")


def test_resources_take_what_belongs_into_kwargs() -> None:
    special: dict[str, Any] = {"gpu_usage": True, "sge_pe_name": "smp"}
    found = Resources(group_size=1, **special)
    assert (found.kwargs.gpu_usage, found.kwargs.pe_name) == (True, "smp")


def test_one_argument_too_many_is_not_dropped() -> None:
    seven: list[Any] = ["true", "a", [], [], "log", "err", None]
    assert TASK(*seven).errlog == "err"
    with pytest.raises(TypeError, match="takes 7 positional arguments but 8 were given"):
        TASK(*seven, "more")
    with pytest.raises(TypeError, match="multiple values for argument 'command'"):
        TASK(*seven, command="false")


def test_a_machine_is_written_down_without_its_profile() -> None:
    machine = Machine(
        batch_type="Shell",
        context_type="SSH",
        remote_root="/scratch",
        remote_profile={"hostname": "login"},  # type: ignore[arg-type]
    )
    assert machine.serialize()["remote_profile"]["hostname"] == "login"
    assert machine.serialize(if_empty_remote_profile=True)["remote_profile"] == {}


@pytest.mark.parametrize(("kind", "name", "plain"), KINDS)
def test_what_was_made_is_not_changed(kind: Any, name: str, plain: dict[str, Any]) -> None:
    found = kind.load_from_dict(plain)
    for key in plain:
        with pytest.raises(ValueError, match="frozen"):
            setattr(found, key, name)
    assert found == kind.load_from_dict(plain)


def test_positions_are_those_of_dpdispatcher() -> None:
    empty: Any = {}
    by_place = Resources(  # type: ignore[call-arg]
        1,
        4,
        0,
        "q",
        5,
        ["#"],
        empty,
        2,
        ["old"],
        True,
        ["new"],
        ["env"],
        {"A": 1},
        ["b"],
        ["a"],
        3.0,
    )
    assert by_place == Resources(
        number_node=1,
        cpu_per_node=4,
        queue_name="q",
        group_size=5,
        custom_flags=["#"],
        para_deg=2,
        module_unload_list=["old"],
        module_purge=True,
        module_list=["new"],
        source_list=["env"],
        envs={"A": 1},
        prepend_script=["b"],
        append_script=["a"],
        wait_time=3.0,
    )
    machine = Machine("Shell", "Local", ".", "remote", empty, 7)  # type: ignore[call-arg]
    assert machine.retry_count == 7
