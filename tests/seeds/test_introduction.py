"""The older introduction: one file with `batch` and `resources`, jobs generated, a batch bound."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from jobferry import Job, JobStatus, Machine, Submission, Task
from tests.seeds.conftest import inputs

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.needs("valkey")

#: jsons/machine_local_shell.json
MACHINE_LOCAL_SHELL = {
    "batch": {
        "batch_type": "shell",
        "context_type": "local",
        "local_root": "./test_shell_trival_dir",
        "remote_root": "./tmp_shell_trival_dir",
    },
    "resources": {
        "number_node": 1,
        "cpu_per_node": 4,
        "gpu_per_node": 0,
        "queue_name": "CPU",
        "group_size": 2,
    },
}


def older_program() -> Submission:
    """Do what programs of that time do: everything but the run."""
    machine = Machine.load_from_json_file(json_path="jsons/machine_local_shell.json")
    submission = Submission(
        work_base="parent_dir/",
        resources=machine.resources,
        forward_common_files=["graph.pb"],
        backward_common_files=[],
    )
    task1, task2, task3, task4 = (
        Task(
            command="cat example.txt",
            task_work_path=f"dir{number}/",
            forward_files=["example.txt"],
            backward_files=["out.txt"],
            outlog="out.txt",
        )
        for number in range(1, 5)
    )
    submission.register_task_list([task1, task2, task3, task4])
    submission.generate_jobs()
    submission.bind_batch(batch=machine.batch)
    return submission


@pytest.fixture
def base(place: Path) -> Path:
    """The work base below the machine's local_root."""
    found = place / "test_shell_trival_dir/parent_dir"
    inputs(found)
    return found


@pytest.fixture
def program(base: Path, place: Path) -> Submission:
    assert base.is_dir()
    (place / "jsons").mkdir()
    (place / "jsons/machine_local_shell.json").write_text(json.dumps(MACHINE_LOCAL_SHELL))
    return older_program()


def test_the_older_program_has_its_results(program: Submission, base: Path, place: Path) -> None:
    assert not program.check_all_finished()
    assert [job.job_state for job in program.belonging_jobs] == [JobStatus.unsubmitted] * 2
    program.run_submission(clean=False)
    for number in range(1, 5):
        assert (base / f"dir{number}/out.txt").read_text() == f"example of dir{number}\n"
    assert program.check_all_finished()
    assert [job.job_state for job in program.belonging_jobs] == [JobStatus.finished] * 2
    assert all(job.job_id for job in program.belonging_jobs)
    here = place / "tmp_shell_trival_dir"
    assert list(here.glob("*/dir1/example.txt"))
    program.clean_jobs()


def test_a_task_may_be_registered_alone(program: Submission, base: Path) -> None:
    assert base.is_dir()
    assert program.machine is not None
    again = Submission(
        "parent_dir/", resources=program.resources, forward_common_files=["graph.pb"]
    )
    for task in program.task_list:
        again.register_task(task)
    assert again.bind_batch(batch=program.machine) == program


def test_jobs_hold_the_tasks_that_the_run_groups(program: Submission) -> None:
    document = program.prepare()
    header = document.header
    for number, job in enumerate(program.belonging_jobs):
        wanted = [document.tasks[task].path for task in header.tasks_of(number)]
        assert [task.task_work_path.rstrip("/") for task in job.job_task_list] == wanted


def test_a_job_is_written_down_and_read_again(program: Submission) -> None:
    job = program.belonging_jobs[0]
    plain = json.loads(json.dumps(job.serialize()))
    assert list(plain) == [job.job_hash] == [job.get_hash()]
    assert plain[job.job_hash]["job_state"] == JobStatus.unsubmitted
    assert Job.deserialize(plain) == job
    static = job.serialize(if_static=True)[job.job_hash]
    assert set(static) == {"job_task_list", "resources"}
    assert program.belonging_jobs[1].job_hash != job.job_hash
