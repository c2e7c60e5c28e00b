"""The jobs of a submission, under DPDispatcher's names: how its tasks are grouped, and how far each group is.

    submission.generate_jobs()
    submission.belonging_jobs[0].job_state      <JobStatus.unsubmitted: 1>

Nothing here is needed to run work. A run's jobs are in the ledger, which `Handle.status` and `jobferry status` read.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from jobferry_common.document import group_size, in_job_order, task_key
from jobferry_common.errors import BadInput, Problem
from jobferry_common.job_status import JobStatus
from jobferry_common.models.lacking import lacking
from jobferry_common.models.resources import Resources
from jobferry_common.models.task import Task
from jobferry_common.states import RunState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobferry.handle import Handle
    from jobferry_common.models.submission import Submission as Model

#: what a job's plain values hold beside its tasks and resources, unless they are static
_RUNTIME: Final = ("job_state", "job_id", "fail_count", "failure_reason")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What one script holds: tasks, and the resources that they share; with its state when somebody last looked."""

    job_task_list: Sequence[Task] = field(kw_only=False)
    resources: Resources
    job_state: JobStatus = JobStatus.unsubmitted
    job_id: str = ""  #: the scheduler's
    fail_count: int = 0  #: attempts that failed before the present one
    failure_reason: str | None = None  #: of one that failed for good
    machine: InitVar[object] = None  #: DPDispatcher's; a job here belongs to the submission's

    def __post_init__(self, machine: object) -> None:
        """Keep the tasks as nobody can change them."""
        del machine
        object.__setattr__(self, "job_task_list", tuple(self.job_task_list))

    @property
    def job_hash(self) -> str:
        """The hash of what the job says: tasks in their order, and resources."""
        return self._hash(self.resources.serialize())

    def get_hash(self) -> str:
        """Return `job_hash`."""
        return self.job_hash

    def serialize(self, if_static: bool = False) -> dict[str, dict[str, Any]]:
        """Return plain values under the job's hash; with `if_static` without its state."""
        return self.plain(self.resources.serialize(), if_static=if_static)

    def plain(
        self, resources: dict[str, Any], *, if_static: bool = False
    ) -> dict[str, dict[str, Any]]:
        """Do what `serialize` does with resources that are plain already: thousands of jobs share them."""
        found: dict[str, Any] = {
            "job_task_list": [task.serialize() for task in self.job_task_list],
            "resources": resources,
        }
        if not if_static:
            found |= {
                "job_state": int(self.job_state),
                "job_id": self.job_id,
                "fail_count": self.fail_count,
                "failure_reason": self.failure_reason,
            }
        return {self._hash(resources): found}

    def _hash(self, resources: dict[str, Any]) -> str:
        return task_key("", [task.task_hash for task in self.job_task_list], resources)

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

    if not TYPE_CHECKING:

        def __getattr__(self, name):  # noqa: ANN001, ANN204
            """Say what to use in place of a name of DPDispatcher's."""
            raise AttributeError(lacking("Job", name))


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


def written(jobs: Sequence[Job]) -> list[dict[str, dict[str, Any]]]:
    """Return the plain values of many jobs."""
    plain: dict[int, dict[str, Any]] = {}
    for job in jobs:
        if id(job.resources) not in plain:
            plain[id(job.resources)] = job.resources.serialize()
    return [job.plain(plain[id(job.resources)]) for job in jobs]


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
        """Look up how far each job and task is: for `belonging_jobs`, and for `task_state` of the tasks."""
        if self.handle is None:
            self.belonging_jobs = self.belonging_jobs or grouped(self._described())
            return
        from jobferry.looking import looked_at

        self.belonging_jobs = looked_at(grouped(self._described()), self.handle)

    def failed_jobs(self) -> list[Job]:
        """Look, and return the jobs that failed for good."""
        self.update_submission_state()
        return [job for job in self.belonging_jobs if job.job_state is JobStatus.failed]

    def raise_for_failed_jobs(self, *, continue_on_failure: bool = True) -> None:
        """Look, and raise `WorkFailed` with a table of what failed, if a job did and the run did not finish.

        Args:
            continue_on_failure: DPDispatcher's; the words are the same here.
        """
        del continue_on_failure
        if self.handle is None or not self.failed_jobs():
            return
        from jobferry.results import check

        check(self.handle.outcome(self.handle.status()))

    def check_all_finished(self) -> bool:
        """Tell whether the run finished: every job, or as many as `ratio_unfinished` wants."""
        self.update_submission_state()
        return self.handle is not None and self.handle.status().state is RunState.FINISHED

    def clean_jobs(self) -> None:
        """Remove the run's files on the cluster and its records; raises `Conflict` while it goes on."""
        if self.handle is not None:
            self.handle.clean()
