"""Documents: canonical, with one id, in an order of their own."""

from __future__ import annotations

import random

import pytest

from jobferry_common.document import (
    Header,
    canonical,
    group_size,
    in_job_order,
    submission_id,
    task_key,
)
from jobferry_common.models.resources import Kwargs, Resources
from jobferry_common.names import ClusterName, SubmissionId


def header(tasks: int, size: int) -> Header:
    return Header(
        submission=SubmissionId("5e7"),
        owner="a@b",
        cluster=ClusterName("alpha"),
        source="/w",
        resources=Resources(group_size=size),
        tasks=tasks,
    )


@pytest.mark.parametrize(("tasks", "size", "jobs"), [(7, 3, 3), (6, 3, 2), (7, 0, 1), (1, 5, 1)])
def test_jobs_hold_every_task_once(tasks: int, size: int, jobs: int) -> None:
    made = header(tasks, size)
    assert made.jobs == jobs
    assert [task for job in range(jobs) for task in made.tasks_of(job)] == list(range(tasks))


def test_an_element_of_a_job_array_holds_slurm_job_size_tasks() -> None:
    array = Resources(group_size=10, batch_type="SlurmJobArray", kwargs=Kwargs(slurm_job_size=3))
    assert group_size(array, 100) == 3
    assert group_size(array, 2) == 3
    assert group_size(Resources(group_size=0, batch_type="slurmjobarray"), 100) == 1
    assert group_size(Resources(group_size=10, kwargs=Kwargs(slurm_job_size=3)), 100) == 10


def test_the_shuffle_is_the_same_every_time_and_leaves_the_callers_random_state_alone() -> None:
    random.seed(1)
    state = random.getstate()
    first = in_job_order(range(100), group_size=7)
    assert random.getstate() == state
    random.seed(2)
    assert in_job_order(range(100), group_size=7) == first
    assert sorted(first) == list(range(100)) != first


@pytest.mark.parametrize("size", [1, 100, 1000])
def test_order_is_kept_where_there_is_nothing_to_balance(size: int) -> None:
    assert in_job_order(range(100), group_size=size) == list(range(100))


def test_canonical_text_does_not_depend_on_the_order_of_keys() -> None:
    assert canonical({"b": "é", "a": [1, None]}) == canonical({"a": [1, None], "b": "é"})
    assert canonical({"a": [1, None]}) == b'{"a":[1,null]}'


def test_an_id_is_twelve_hex_digits_of_what_was_said() -> None:
    first = submission_id({"tasks": [1]})
    assert first == submission_id({"tasks": [1]})
    assert first != submission_id({"tasks": [2]})
    assert len(first) == 12
    int(first, 16)


def test_a_key_tells_apart_what_only_looks_alike_when_it_is_joined() -> None:
    assert task_key("", "a", ["b"]) != task_key("", "a", "b")
    assert task_key("c", "a") != task_key("", "c", "a")
