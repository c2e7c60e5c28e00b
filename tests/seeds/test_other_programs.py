"""The calls that programs built on DPDispatcher make, as their sources have them: DP-GEN, APEX, dpti.

With those programs themselves: `python -m tests.seeds.others dpgen`, in an environment where they are installed.
"""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from jobferry import BadInput, Machine, Resources, Submission, Task

if TYPE_CHECKING:
    from pathlib import Path

MDATA: dict[str, Any] = {
    "machine": {
        "batch_type": "Shell",
        "context_type": "LocalContext",
        "local_root": "./",
        "remote_root": "./remote",
    },
    "resources": {
        "number_node": 1,
        "cpu_per_node": 1,
        "gpu_per_node": 0,
        "queue_name": "",
        "group_size": 2,
    },
}


def described(commands: list[str], work_path: str, run_tasks: list[str]) -> Submission:
    """Describe work as DP-GEN and APEX do: plain values, an absolute local_root, one log for both outputs."""
    described = {**MDATA["machine"], "local_root": os.path.abspath("./")}  # noqa: PTH100 - as they do
    return Submission(
        work_base=work_path,
        machine=Machine.load_from_dict(described),
        resources=Resources.load_from_dict(MDATA["resources"]),
        task_list=[
            Task(
                command="&&".join(commands),
                task_work_path=name,
                forward_files=["example.txt"],
                backward_files=["out"],
                outlog="train.log",
                errlog="train.log",
            )
            for name in run_tasks
        ],
        forward_common_files=["graph.pb"],
        backward_common_files=[],
    )


@pytest.mark.needs("valkey")
def test_dpgen_and_apex_have_their_results(project: Path) -> None:
    commands = ["cat example.txt ../graph.pb > out", "echo warning >&2"]
    described(commands, "parent_dir", ["dir1", "dir2", "dir3"]).run_submission()
    for name in ("dir1", "dir2", "dir3"):
        assert (project / name / "out").read_text() == f"example of {name}\ngraph\n"
        assert (project / name / "train.log").read_text() == "warning\n"


@pytest.mark.needs("valkey")
def test_dpti_registers_its_tasks_afterwards(project: Path) -> None:
    submission = Submission(
        work_base=str(project),
        machine=Machine.load_from_dict(MDATA["machine"]),
        resources=Resources.load_from_dict(MDATA["resources"]),
        forward_common_files=[],
        backward_common_files=[],
    )
    tasks = [
        Task(
            command="cp example.txt out.lmp",
            task_work_path=f"dir{number}/",
            forward_files=["example.txt"],
            backward_files=["out.lmp"],
        )
        for number in (1, 2)
    ]
    submission.register_task_list(task_list=tasks)
    submission.run_submission()
    assert (project / "dir2/out.lmp").read_text() == "example of dir2\n"


def test_input_is_checked_by_those_who_ask_for_a_description(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DP-GEN describes its own input with dargs; `arginfo` gives it the part that is ours."""

    def argument(name: str, kind: type, **further: Any) -> SimpleNamespace:
        return SimpleNamespace(name=name, kind=kind, **further)

    monkeypatch.setitem(sys.modules, "dargs", SimpleNamespace(Argument=argument))
    info = Resources.arginfo()
    assert (info.name, info.kind) == ("resources", dict)
    assert info.extra_check(MDATA["resources"])
    with pytest.raises(BadInput, match="'group_size'"):
        info.extra_check({"gruop_size": 1})
