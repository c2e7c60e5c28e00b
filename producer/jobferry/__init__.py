"""What a user imports: describe work, submit it, follow it, have the results.

    from jobferry import Machine, Resources, Submission, Task

    submission = Submission(
        work_base="work",
        machine=Machine(batch_type="Slurm", context_type="Local", local_root=".", remote_root="/scratch/me"),
        resources=Resources(group_size=1, queue_name="main"),
        task_list=[Task(command="cat in > out", task_work_path="a", forward_files=["in"], backward_files=["out"])],
    )
    handle = submission.submit()  # returns at once
    handle.wait()

Names are loaded when they are first used, so that `import jobferry` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobferry.about import info
    from jobferry.client import Client, connect
    from jobferry.handle import Handle
    from jobferry.jobs import Job
    from jobferry.results import Failure, Result
    from jobferry.submission import Submission
    from jobferry.submit import submit_many
    from jobferry_common.errors import (
        AmbiguousId,
        BadInput,
        BrokerUnreachable,
        Conflict,
        JobferryError,
        UnknownId,
        WorkFailed,
    )
    from jobferry_common.job_status import JobStatus
    from jobferry_common.models.failures import OnFailure, Rule
    from jobferry_common.models.machine import Machine
    from jobferry_common.models.resources import Resources
    from jobferry_common.models.task import Task

    __version__: str

__all__ = [
    "AmbiguousId",
    "BadInput",
    "BrokerUnreachable",
    "Client",
    "Conflict",
    "Failure",
    "Handle",
    "Job",
    "JobStatus",
    "JobferryError",
    "Machine",
    "OnFailure",
    "Resources",
    "Result",
    "Rule",
    "Submission",
    "Task",
    "UnknownId",
    "WorkFailed",
    "__version__",
    "connect",
    "info",
    "submit_many",
]

_ERRORS = "jobferry_common.errors"
_HOME = {
    "AmbiguousId": _ERRORS,
    "BadInput": _ERRORS,
    "BrokerUnreachable": _ERRORS,
    "Client": "jobferry.client",
    "Conflict": _ERRORS,
    "Failure": "jobferry.results",
    "Handle": "jobferry.handle",
    "Job": "jobferry.jobs",
    "JobStatus": "jobferry_common.job_status",
    "JobferryError": _ERRORS,
    "Machine": "jobferry_common.models.machine",
    "OnFailure": "jobferry_common.models.failures",
    "Resources": "jobferry_common.models.resources",
    "Result": "jobferry.results",
    "Rule": "jobferry_common.models.failures",
    "Submission": "jobferry.submission",
    "Task": "jobferry_common.models.task",
    "UnknownId": _ERRORS,
    "WorkFailed": _ERRORS,
    "connect": "jobferry.client",
    "info": "jobferry.about",
    "submit_many": "jobferry.submit",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    """Load a public name when it is first used."""
    if name == "__version__":
        return import_module("importlib.metadata").version("jobferry")
    if name not in _HOME:
        msg = f"module 'jobferry' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names."""
    return __all__
