"""The jobs of a submission, under DPDispatcher's names: how its tasks are grouped, and how far each group is.

    submission.generate_jobs()
    submission.belonging_jobs[0].job_state      <JobStatus.unsubmitted: 1>

Nothing here is needed to run work. A run's jobs are in the ledger, which `Handle.status` and `jobferry status` read.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field, replace
from enum import IntEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Self

from jobferry_common.document import group_size, in_job_order, task_key
from jobferry_common.errors import BadInput, Problem
from jobferry_common.models.resources import Resources
from jobferry_common.models.task import Task
from jobferry_common.states import JobState, RunState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobferry.handle import Handle
    from jobferry_common.ledger.records import JobRecord
    from jobferry_common.models.submission import Submission as Model

#: what a job's plain values hold beside its tasks and resources, unless they are static
_RUNTIME: Final = ("job_state", "job_id", "fail_count")


class JobStatus(IntEnum):
    """Where a job is, in DPDispatcher's words and numbers."""

    unsubmitted = 1  #: not handed to a scheduler so far
    waiting = 2  #: in its queue
    running = 3
    terminated = 4  #: failed for good, or cancelled
    finished = 5
    completing = 6  #: over; what becomes of it is being settled
    unknown = 100  #: the ledger does not know it


_STATUS: Final[Mapping[JobState, JobStatus]] = MappingProxyType(
    {
        JobState.PENDING: JobStatus.unsubmitted,
        JobState.SUBMITTING: JobStatus.unsubmitted,
        JobState.QUEUED: JobStatus.waiting,
        JobState.RUNNING: JobStatus.running,
        JobState.EXITED: JobStatus.completing,
        JobState.FINISHED: JobStatus.finished,
        JobState.FAILED: JobStatus.terminated,
        JobState.CANCELLED: JobStatus.terminated,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What one script holds: tasks, and the resources that they share; with its state when somebody last looked."""

    job_task_list: Sequence[Task] = field(kw_only=False)
    resources: Resources
    job_state: JobStatus = JobStatus.unsubmitted
    job_id: str = ""  #: the scheduler's
    fail_count: int = 0  #: attempts that failed before the present one
    machine: InitVar[object] = None  #: DPDispatcher's; a job here belongs to the submission's

    def __post_init__(self, machine: object) -> None:
        """Keep the tasks as nobody can change them."""
        del machine
        object.__setattr__(self, "job_task_list", tuple(self.job_task_list))

    @property
    def job_hash(self) -> str:
        """The hash of what the job says: tasks in their order, and resources."""
        return task_key("", [task.task_hash for task in self.job_task_list], self._resources())

    def get_hash(self) -> str:
        """Return `job_hash`."""
        return self.job_hash

    def serialize(self, if_static: bool = False) -> dict[str, dict[str, Any]]:
        """Return plain values under the job's hash; with `if_static` without its state."""
        plain: dict[str, Any] = {
            "job_task_list": [task.serialize() for task in self.job_task_list],
            "resources": self._resources(),
        }
        if not if_static:
            plain |= {
                "job_state": int(self.job_state),
                "job_id": self.job_id,
                "fail_count": self.fail_count,
            }
        return {self.job_hash: plain}

    @classmethod
    def deserialize(cls, job_dict: Mapping[str, Mapping[str, Any]], machine: object = None) -> Self:
        """Take what `serialize` gave; raises `BadInput` with every fault."""
        del machine
        if len(job_dict) != 1:
            what = f"holds {len(job_dict)} keys; expected one, the job's hash"
            raise BadInput([Problem("job", what)])
        plain = next(iter(job_dict.values()))
        for name in ("job_task_list", "resources"):
            if name not in plain:
                raise BadInput([Problem(f"job: {name}", "is missing")])
        state: dict[str, Any] = {
            name: plain[name] for name in _RUNTIME if plain.get(name) is not None
        }
        if "job_state" in state:
            state["job_state"] = JobStatus(state["job_state"])
        return cls(
            job_task_list=tuple(map(Task.load_from_dict, plain["job_task_list"])),
            resources=Resources.load_from_dict(plain["resources"]),
            **state,
        )

    def _resources(self) -> dict[str, Any]:
        return self.resources.serialize()


def grouped(model: Model) -> list[Job]:
    """Return the jobs of a submission, in the order in which a run numbers them."""
    resources = model.resources
    if model.machine is not None:
        resources = resources.model_copy(update={"batch_type": model.machine.batch_type})
    size = group_size(resources, len(model.task_list))
    ordered = in_job_order(model.task_list, group_size=size)
    return [
        Job(job_task_list=tuple(ordered[start : start + size]), resources=model.resources)
        for start in range(0, len(ordered), size)
    ]


def looked_at(jobs: Sequence[Job], handle: Handle) -> list[Job]:
    """Return the jobs with the states that the ledger has for them now."""
    record = handle.status()
    known = dict(handle.client.ledger.jobs(record.id, count=max(record.jobs, 1)))
    return [_as_known(job, known.get(number)) for number, job in enumerate(jobs)]


def _as_known(job: Job, record: JobRecord | None) -> Job:
    if record is None:
        return replace(job, job_state=JobStatus.unknown)
    failed = record.attempt - 1 + (record.state is JobState.FAILED)
    return replace(
        job, job_state=_STATUS[record.state], job_id=record.id, fail_count=max(failed, 0)
    )


class WithJobs:
    """The part of a submission that knows its jobs."""

    belonging_jobs: list[Job]  #: as they were grouped, and looked at last
    handle: Handle | None  #: of the last submit

    def _described(self) -> Model:
        """Return what was said, checked; a target may be missing."""
        raise NotImplementedError

    def generate_jobs(self) -> None:
        """Group the tasks into `belonging_jobs`, to be looked at; submitting does not need it, nor this a target."""
        self.belonging_jobs = grouped(self._described())

    def update_submission_state(self) -> None:
        """Look up how far each job is, and put it into `belonging_jobs`."""
        jobs = self.belonging_jobs or grouped(self._described())
        self.belonging_jobs = jobs if self.handle is None else looked_at(jobs, self.handle)

    def check_all_finished(self) -> bool:
        """Tell whether the run finished: every job, or as many as `ratio_unfinished` wants."""
        self.update_submission_state()
        return self.handle is not None and self.handle.status().state is RunState.FINISHED

    def clean_jobs(self) -> None:
        """Remove the run's files on the cluster and its records; raises `Conflict` while it goes on."""
        if self.handle is not None:
            self.handle.clean()
