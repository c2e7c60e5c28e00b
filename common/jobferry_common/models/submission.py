"""Submission: a set of tasks with resources, common files and a target.

    Submission.load_from_json("submission.json")

The target is a `machine`, or a `cluster` that a worker serves, by its name: one, a list of them, or "any".
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, StrictBool, StrictStr, field_validator

from jobferry_common.errors import BadInput, Problem
from jobferry_common.models.base import Model
from jobferry_common.models.failures import OnFailure, unfit
from jobferry_common.models.machine import Machine
from jobferry_common.models.older import Older
from jobferry_common.models.placement import ANY, FAIR, Clusters, Placement, Priority, names_of
from jobferry_common.models.resources import Resources
from jobferry_common.models.task import Task
from jobferry_common.models.values import Name, RelativePaths, Text, Texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jobferry_common.models.base import Fault


if TYPE_CHECKING:  # users write lists; what a model holds is frozen
    Tasks = Sequence[Task]
else:
    Tasks = tuple[Task, ...]


#: under which a submission names its target
TARGETS = frozenset({"machine", "batch", "cluster"})
#: stands for the target while none is bound
UNBOUND = "unbound"
#: where DPDispatcher puts the tasks of what it writes down: in jobs, and before there are any in a list of this name
WRITTEN_DOWN = ("belonging_jobs", "belonging_tasks")


class Submission(Model):
    """A set of tasks, complete: it can be prepared and handed over."""

    aliases: ClassVar[Mapping[str, str]] = {"batch": "machine"}
    older: ClassVar[Older] = Older(
        refused=dict.fromkeys(
            WRITTEN_DOWN, "it holds other tasks than task_list, or no jobs; expected one of the two"
        )
    )

    work_base: Text = Field(description="the directory of the tasks, below local_root")
    machine: Machine | None = None  #: where it runs; else `cluster` says so
    resources: Resources = Field(description='an object such as {"group_size": 1}')
    forward_common_files: RelativePaths = ()  #: files, directories or globs for all tasks
    backward_common_files: RelativePaths = ()  #: files, directories or globs that come back
    task_list: Tasks = Field(description="a list of tasks")
    #: DPDispatcher's; runs are resumed by themselves
    previous_submission_hash: StrictStr | None = None
    continue_on_failure: StrictBool = False  #: True: a failed task does not end the rest
    cluster: Clusters | None = None  #: instead of a machine: a name, a list of names, or "any"
    placement: Placement = FAIR  #: which of several clusters is liked better
    requires: Texts = ()  #: tags that a cluster's profile must have
    priority: Priority = 0  #: of an owner's submissions, those with more go first
    name: Name = ""  #: the user's word for it
    on_failure: OnFailure | None = Field(
        default=None, description="rules for jobs that fail, by how they failed"
    )

    @field_validator("task_list")
    @classmethod
    def _some(cls, tasks: tuple[Task, ...]) -> tuple[Task, ...]:
        if not tasks:
            msg = "is empty; expected at least one task"
            raise ValueError(msg)
        return tasks

    @classmethod
    def rewritten(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Return a submission whose tasks stood in its jobs, as DPDispatcher writes one down, with a list of tasks."""
        if data.keys().isdisjoint(WRITTEN_DOWN) or not _holds_jobs(data.get("belonging_jobs", [])):
            return data
        jobs = [job for one in data.get("belonging_jobs", ()) for job in one.values()]
        tasks = [task for job in jobs for task in job["job_task_list"]]
        tasks = tasks or data.get("belonging_tasks", [])
        listed = data.get("task_list", tasks)
        if not listed or (tasks and not _are_same(tasks, listed)):
            return data
        rest = {key: value for key, value in data.items() if key not in WRITTEN_DOWN}
        return {**rest, "task_list": listed}

    @classmethod
    def faults(cls, data: Mapping[str, Any]) -> Iterator[Fault]:
        """Find that there is no target, or that there are two."""
        machine, cluster = data.get("machine"), data.get("cluster")
        if machine is None and cluster in (None, ""):
            yield ("machine",), 'is missing; expected a machine, or a "cluster" by its name'
        elif machine is not None and cluster:
            yield ("cluster",), "stands beside a machine; expected one of the two"
        yield from _lonely(data, "requires") if machine is not None else ()
        if data.get("on_failure") is not None:
            yield from unfit(data["on_failure"], data.get("resources"))
        weights, names = data.get("placement"), names_of(cluster) if _is_names(cluster) else ()
        if isinstance(weights, dict) and names and ANY not in names:
            for name in weights:
                if name not in names:
                    known = ", ".join(names)
                    yield ("placement", name), f"is none of the clusters; expected one of {known}"


def _holds_jobs(jobs: object) -> bool:
    return isinstance(jobs, list) and all(
        isinstance(job, dict) and isinstance(job.get("job_task_list"), list)
        for one in jobs
        for job in (one.values() if isinstance(one, dict) else [None])
    )


def _are_same(tasks: Sequence[object], listed: object) -> bool:
    """Tell whether jobs hold the tasks of the list, in their own order."""
    if tasks is listed:
        return True
    if not isinstance(listed, list) or len(listed) != len(tasks):
        return False
    return sorted(map(_plain, tasks)) == sorted(map(_plain, listed))


def _plain(task: object) -> str:
    return json.dumps(task.serialize() if isinstance(task, Task) else task, sort_keys=True)


def _lonely(data: Mapping[str, Any], name: str) -> Iterator[Fault]:
    if data.get(name):
        yield (name,), "stands beside a machine; it chooses among clusters"


def _is_names(value: object) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)
    )


def clean_policy(value: object) -> str:
    """Return "always", "never" or "on_success" for DPDispatcher's `clean`.

    Raises:
        BadInput: it is none of these.
    """
    words = {True: "always", False: "never"}
    if isinstance(value, bool):
        return words[value]
    if value in ("always", "never", "on_success"):
        return str(value)
    what = f'expected true, false, "always", "never" or "on_success", got {value!r}'
    raise BadInput([Problem("clean", what)])
