"""How far jobs and tasks are, as programs of DPDispatcher ask for it, after runs that finished and that failed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from jobferry import BadInput, JobStatus, Machine, Resources, Submission, Task

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.needs("valkey")


def submission(*commands: str, group_size: int = 1) -> Submission:
    machine = Machine(batch_type="Shell", context_type="LazyLocal", local_root="./", retry_count=0)
    tasks = [
        Task(command=command, task_work_path=f"dir{number}")
        for number, command in enumerate(commands, 1)
    ]
    return Submission("parent_dir", machine, Resources(group_size=group_size), task_list=tasks)


def states(work: Submission) -> list[JobStatus]:
    return [task.task_state for task in work.belonging_tasks]


def test_tasks_and_jobs_say_where_they_are(project: Path) -> None:
    assert project.is_dir()
    work = submission("true", "true", "true", group_size=2)
    assert states(work) == [JobStatus.unsubmitted] * 3
    answer = work.run_submission()
    assert states(work) == [JobStatus.finished] * 3
    assert not work.failed_jobs()
    work.raise_for_failed_jobs()
    jobs = [job for one in answer["belonging_jobs"] for job in one.values()]
    assert [job["job_state"] for job in jobs] == [JobStatus.finished] * 2
    assert all(job["job_id"] and not job["fail_count"] for job in jobs)


def test_jobs_that_failed_are_listed_and_raised(project: Path) -> None:
    assert project.is_dir()
    work = submission("true", "exit 3")
    with pytest.raises(RuntimeError, match="task 1 in dir2: exit code 3"):
        work.run_submission(continue_on_failure=True)
    assert states(work) == [JobStatus.finished, JobStatus.failed]
    [job] = work.failed_jobs()
    assert [task.command for task in job.job_task_list] == ["exit 3"]
    assert (job.job_state, job.fail_count) == (JobStatus.failed, 1)
    assert job.failure_reason
    assert "3" in job.failure_reason
    with pytest.raises(RuntimeError, match="task 1 in dir2: exit code 3"):
        work.raise_for_failed_jobs()


def test_of_a_failed_job_the_tasks_that_ended_well_are_finished(project: Path) -> None:
    assert project.is_dir()
    work = submission("true", "exit 4", "true", group_size=0)
    with pytest.raises(RuntimeError, match="exit code 4"):
        work.run_submission()
    assert states(work) == [JobStatus.finished, JobStatus.failed, JobStatus.finished]
    work.task_list[0].be(JobStatus.unknown)
    work.update_submission_state()
    assert states(work)[0] is JobStatus.finished


def test_submissions_are_equal_that_say_the_same(project: Path) -> None:
    assert project.is_dir()
    first, second = submission("true"), submission("true")
    assert first == second
    second.generate_jobs()
    assert first == second
    assert first != submission("false")
    assert first != "a submission"
    with pytest.raises(TypeError, match="unhashable"):
        hash(first)


def test_what_is_written_down_with_its_jobs_is_read_again(project: Path) -> None:
    assert project.is_dir()
    first = submission("true", "true", "true", group_size=2)
    first.generate_jobs()
    assert "belonging_jobs" not in first.serialize(if_static=True)
    plain = json.loads(json.dumps(first.serialize()))
    again = Submission.deserialize(plain)
    assert again == first
    assert again.belonging_jobs == first.belonging_jobs
    assert again.serialize() == first.serialize()
    plain["task_list"][0]["command"] = "false"
    with pytest.raises(BadInput, match="belonging_jobs: is refused: it holds other tasks than"):
        Submission.deserialize(plain)


def test_one_without_a_machine_is_written_down_and_bound_later(project: Path) -> None:
    assert project.is_dir()
    bound = submission("true")
    loose = Submission("parent_dir", None, bound.resources, task_list=bound.task_list)
    assert loose.serialize()["machine"] is None
    assert loose.local_root is None
    assert loose != bound
    plain = loose.serialize()
    assert Submission.deserialize(plain, machine=bound.machine, bind_context=False) == bound
    assert loose.bind_machine(bound.machine, bind_context=False) == bound
