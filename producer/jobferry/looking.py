"""How far the jobs and tasks of a run are, in DPDispatcher's words, as the ledger has it now.

belonging_jobs = looked_at(grouped(submission.model()), submission.handle)
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from jobferry_common.job_status import JobStatus
from jobferry_common.states import JobState, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from jobferry.handle import Handle
    from jobferry.jobs import Job
    from jobferry_common.ledger.records import JobRecord

_STATUS: Final[Mapping[JobState, JobStatus]] = MappingProxyType(
    {
        JobState.PENDING: JobStatus.unsubmitted,
        JobState.SUBMITTING: JobStatus.unsubmitted,
        JobState.QUEUED: JobStatus.waiting,
        JobState.RUNNING: JobStatus.running,
        JobState.EXITED: JobStatus.completing,
        JobState.FINISHED: JobStatus.finished,
        JobState.FAILED: JobStatus.failed,
        JobState.CANCELLED: JobStatus.terminated,
    }
)


def looked_at(jobs: Sequence[Job], handle: Handle) -> list[Job]:
    """Return the jobs with the states that the ledger has for them now; their tasks know theirs, too."""
    record = handle.status()
    ledger = handle.client.ledger
    known = dict(ledger.jobs(record.id, count=max(record.jobs, 1)))
    failed = [job for job, state in known.items() if state.outcome is Outcome.FAILED]
    noted = ledger.failures(record.id, failed)
    found = [_as_known(job, known.get(number)) for number, job in enumerate(jobs)]
    first = 0
    for number, job in enumerate(found):
        _tell_tasks(job, first, {end.task for end in noted.get(number, ())})
        first += len(job.job_task_list)
    return found


def _tell_tasks(job: Job, first: int, bad: AbstractSet[int]) -> None:
    """Tell the tasks of a job where they are; of one that failed, those that did not fail are finished."""
    settled = job.job_state is JobStatus.failed and bad
    for index, task in enumerate(job.job_task_list, first):
        task.be(JobStatus.finished if settled and index not in bad else job.job_state)


def _as_known(job: Job, record: JobRecord | None) -> Job:
    if record is None:
        return replace(job, job_state=JobStatus.unknown)
    failed = record.attempt - 1 + (record.state is JobState.FAILED)
    return replace(
        job,
        job_state=_STATUS[record.state],
        job_id=record.id,
        fail_count=max(failed, 0),
        failure_reason=_why(record) if record.state is JobState.FAILED else None,
    )


def _why(record: JobRecord) -> str:
    """Return why a job failed: `timeout: DUE TO TIME LIMIT`, `failed: exit code 3`."""
    code = f"exit code {record.code}" if record.code else ""
    return ": ".join(filter(None, (str(record.outcome or "failed"), record.reason or code)))
