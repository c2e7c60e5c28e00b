"""Programs written for DPDispatcher, with only the import changed: each form, each context, each batch system."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from jobferry import Machine, Resources, Submission, Task, stack
from jobferry_common.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.testbed.slurm import SlurmCluster

    Form = Callable[[dict[str, Any]], dict[str, Any]]

pytestmark = pytest.mark.needs("slurm", "valkey")

RESOURCES = {"number_node": 1, "cpu_per_node": 1, "gpu_per_node": 0, "queue_name": "main"}
COMMON = ["graph.pb"]


@pytest.fixture
def place(
    short_path: Path, tmp_path: Path, slurm: SlurmCluster, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A working directory with inputs, on a machine with Slurm where jobferry was never set up."""
    monkeypatch.chdir(tmp_path)
    for name, value in slurm.env().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("JOBFERRY_STACK__DIRECTORY", str(short_path / "stack"))
    monkeypatch.setenv("JOBFERRY_STACK__START_SECONDS", "60")
    for name in ("dir1", "dir2"):
        (tmp_path / "work" / name).mkdir(parents=True)
        (tmp_path / "work" / name / "example.txt").write_text(f"of {name}\n")
    (tmp_path / "work" / "graph.pb").write_text("graph\n")
    yield tmp_path
    stack.down(load_settings())


def tasks() -> list[Task]:
    return [
        Task(
            command="cat example.txt ../graph.pb",
            task_work_path=f"{name}/",
            forward_files=["example.txt"],
            backward_files=["out.txt"],
            outlog="out.txt",
        )
        for name in ("dir1", "dir2")
    ]


def described(machine: dict[str, Any]) -> Submission:
    resources = Resources.load_from_dict({**RESOURCES, "group_size": 1})
    return Submission(
        work_base="work/",
        machine=Machine.load_from_dict(machine),
        resources=resources,
        task_list=tasks(),
        forward_common_files=COMMON,
        backward_common_files=[],
    )


def waited_for(machine: dict[str, Any]) -> dict[str, Any]:
    return described(machine).run_submission(check_interval=2, clean=False)


def left_and_come_back_to(machine: dict[str, Any]) -> dict[str, Any]:
    submission = described(machine)
    answer = submission.run_submission(exit_on_submit=True)
    assert submission.handle
    submission.handle.result(120)
    return answer


def beside_others(machine: dict[str, Any]) -> dict[str, Any]:
    return asyncio.run(described(machine).async_run_submission(check_interval=1))


def older(machine: dict[str, Any]) -> dict[str, Any]:
    with open("machine.json", "w", encoding="utf-8") as file:  # noqa: PTH123 - as such programs do
        json.dump({"batch": machine, "resources": {**RESOURCES, "group_size": 2}}, file)
    old = Machine.load_from_json_file(json_path="machine.json")
    submission = Submission(work_base="work/", resources=old.resources, forward_common_files=COMMON)
    submission.register_task(tasks()[0])
    submission.register_task_list(tasks()[1:])
    submission.generate_jobs()
    submission.bind_batch(batch=old.batch)
    return submission.run_submission()


def written_down(machine: dict[str, Any]) -> dict[str, Any]:
    plain = described(machine).serialize()
    bound = Submission.deserialize(submission_dict=plain, machine=Machine.load_from_dict(machine))
    return bound.run_submission(clean="on_success")


@pytest.mark.parametrize("context", ["LazyLocalContext", "LocalContext"])
@pytest.mark.parametrize("batch", ["Shell", "Slurm"])
def test_every_form_of_a_program_has_its_results(place: Path, batch: str, context: str) -> None:
    machine = {"batch_type": batch, "context_type": context, "local_root": "./"}
    if context == "LocalContext":
        machine["remote_root"] = "./remote"
    forms: list[Form] = [waited_for, left_and_come_back_to, beside_others, older, written_down]
    for form in forms:
        answer = form(machine)
        assert answer["_run"], form.__name__
        for name in ("dir1", "dir2"):
            result = place / "work" / name / "out.txt"
            assert result.read_text().endswith(f"of {name}\ngraph\n"), form.__name__
            result.unlink()
