"""Defects of DPDispatcher 1.1.0 that do not occur here: each test names its row of docs/compatibility.md.

Rows that need a server, or a fault at a given moment, have their tests beside those; the document names them.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jobferry import Machine, Resources, Submission, Task, WorkFailed
from jobferry_common.states import Outcome
from tests.testbed.processes import wait_until

pytestmark = pytest.mark.needs("valkey")

_SLURMS = {"sbatch", "squeue", "sacct", "scancel", "scontrol", "sinfo", "sacctmgr"}


def submission(context: str, tasks: list[Task], group_size: int = 0) -> Submission:
    machine = Machine(
        batch_type="Shell",
        context_type=context,
        local_root="./",
        remote_root=None if context == "LazyLocalContext" else "./remote",
        retry_count=0,
    )
    return Submission("parent_dir/", machine, Resources(group_size=group_size), task_list=tasks)


def task(command: str, where: str = "dir1", *back: str) -> Task:
    return Task(command=command, task_work_path=where, backward_files=list(back), errlog=None)


@pytest.mark.parametrize("context", ["LazyLocalContext", "LocalContext"])
@pytest.mark.parametrize("broken", ["echo 'unbalanced", "if true; then"])
def test_a_syntax_error_in_one_command_fails_that_task_alone(
    project: Path, context: str, broken: str
) -> None:
    """A defect of DPDispatcher:

    a syntax error in one command ends the script: the job counts as finished, its siblings never run.
    """
    work = submission(
        context,
        [
            task("echo hi > out # note", "dir1", "out"),
            task(broken, "dir2"),
            task("echo ho > out", "dir3", "out"),
        ],
    )
    with pytest.raises(WorkFailed, match="task 1 in dir2"):
        work.run_submission()
    assert (project / "dir1/out").read_text() == "hi\n"
    assert (project / "dir3/out").read_text() == "ho\n"
    assert work.handle is not None
    [failure] = work.handle.result(60, checked=False).failures
    assert (failure.task, failure.outcome) == (1, Outcome.FAILED)
    assert failure.code


def test_the_exit_code_of_a_task_is_recorded_and_shown(project: Path) -> None:
    """The exit code of a task is nowhere."""
    assert project.is_dir()
    with pytest.raises(WorkFailed, match="exit code 7"):
        submission("LocalContext", [task("exit 7")]).run_submission()


def test_identical_tasks_are_told_apart(project: Path) -> None:
    """Identical tasks share one identity and run into each other."""
    same = task("echo once >> ../times")
    submission("LazyLocalContext", [same, same, same], group_size=1).run_submission()
    assert (project / "times").read_text() == "once\n" * 3


def test_a_missing_result_is_named_in_place_too(project: Path) -> None:
    """Missing backward_files go unnoticed with LazyLocal."""
    assert project.is_dir()
    with pytest.raises(WorkFailed, match="missing after the task: never-made"):
        submission("LazyLocalContext", [task("true", "dir1", "never-made")]).run_submission()


def test_a_dry_run_of_what_finished_changes_nothing(project: Path, place: Path) -> None:
    """`--dry-run` on a finished job downloads and deletes it."""
    work = submission("LocalContext", [task("echo made > out", "dir1", "out")])
    work.run_submission(clean=False)
    (project / "dir1/out").unlink()

    def state() -> list[Path]:
        return sorted([*(place / "remote").rglob("*"), *project.rglob("*")])

    assert work.handle is not None
    before, record = state(), work.handle.status()
    work.run_submission(dry_run=True)
    assert (state(), work.handle.status()) == (before, record)


def test_a_missing_scheduler_is_told_at_once(
    project: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing `bsub` takes 181 s to report."""
    assert project.is_dir()
    monkeypatch.setenv("PATH", str(without_slurm(place / "bin")))
    work = submission("LocalContext", [task("true")])
    assert isinstance(work.machine, Machine)
    work.machine = work.machine.model_copy(update={"batch_type": "Slurm"})
    handle = work.submit()

    known: list[str] = []

    def told() -> bool:
        known.append(handle.client.why_waiting(handle.status()))
        return any(command in known[-1] for command in _SLURMS)

    wait_until(told, f"who waits is told what is missing: {known}")
    handle.cancel()


def without_slurm(folder: Path) -> Path:
    """Return a directory with every command of this machine but Slurm's."""
    folder.mkdir()
    for place in os.environ["PATH"].split(":"):
        for command in Path(place).iterdir() if Path(place).is_dir() else ():
            link = folder / command.name
            if command.name not in _SLURMS and not link.is_symlink():
                link.symlink_to(command)
    return folder
