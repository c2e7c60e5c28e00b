"""What came of a run: how many tasks finished, and what failed, with exit code and the last lines of stderr.

run 3f2a9c01d5e7-1 failed: 1 of 3 jobs failed
task 2 in c: exit code 3: python fit.py
ValueError: no minimum found
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobferry.places import tail
from jobferry_common.errors import WorkFailed
from jobferry_common.names import AttemptKey
from jobferry_common.states import JobState, Outcome, ResultsState, RunState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jobferry.client import Client
    from jobferry.places import Places
    from jobferry_common.document import TaskSpec
    from jobferry_common.ledger.findings import FailedTask
    from jobferry_common.ledger.records import JobRecord, RunRecord
    from jobferry_common.scripts.records import TaskEnd

#: failed jobs that are looked into; a run with more is told by its counts
MANY = 100
_STDERR_LINES = 3
_SHOWN = 10
_COMMAND_WIDTH = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One task that failed, or a job that ended before any of its tasks did."""

    job: int
    task: int | None  #: position in the submission's list of tasks; None: some task of the job
    name: str  #: the task's name, else its directory
    command: str  #: empty when it is not known which task failed
    outcome: Outcome | None = None  #: of the job's last attempt; None when it never ran
    code: int | None = None  #: exit code of the task; None when it is not known
    reason: str = ""  #: in the scheduler's words, or the files that are missing
    stderr: tuple[str, ...] = ()  #: its last lines

    @property
    def who(self) -> str:
        """The task and its name: `task 2 in c`."""
        return self.name if self.task is None else f"task {self.task} in {self.name}"

    @property
    def what(self) -> str:
        """The failure in a few words: `exit code 3`, `timeout: DUE TO TIME LIMIT`."""
        if self.outcome not in (None, Outcome.FAILED, Outcome.SUCCEEDED):
            return f"{self.outcome}: {self.reason}" if self.reason else str(self.outcome)
        if self.code and self.task is not None:
            return f"exit code {self.code}"
        return self.reason or "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A run that ended."""

    run: RunRecord
    failures: tuple[Failure, ...] = ()  #: of at most 100 failed jobs, by task
    lack: str = ""  #: which result did not come back, and what to do; empty if all did

    @property
    def finished(self) -> int:
        """Number of jobs that finished."""
        return self.run.counts.get(JobState.FINISHED, 0)

    @property
    def ok(self) -> bool:
        """True when the run finished."""
        return self.run.state is RunState.FINISHED


def is_settled(record: RunRecord) -> bool:
    """True once a run ended and all that comes back of it is here."""
    fetched = record.results in (ResultsState.DELIVERED, ResultsState.CLEANED)
    return record.state.is_final and fetched


def result_of(client: Client, record: RunRecord) -> Result:
    """Return what came of a run that ended."""
    failures = sorted(failures_of(client, record), key=_by_task)
    return Result(run=record, failures=tuple(failures), lack=client.ledger.lack(record.id))


def check(result: Result) -> None:
    """Raise `WorkFailed`, with a table of what failed, unless the run finished."""
    if not result.ok:
        raise WorkFailed(describe(result))


def describe(result: Result) -> str:
    """Return what failed as text, and how to go on."""
    lines = [headline(result.run)]
    for failure in result.failures[:_SHOWN]:
        told = (failure.who, failure.what, shortened(failure.command))
        lines.append(f"  {': '.join(filter(None, told))}")
        lines.extend(f"    {line}" for line in failure.stderr)
    if more := len(result.failures) - _SHOWN:
        lines += [f"  … and {more} more"] * (more > 0)
    lines += [result.lack] * (result.lack not in ("", *lines))
    lines.append(f"run what is unfinished again with: jobferry retry {result.run.id}")
    return "\n".join(lines)


def headline(record: RunRecord) -> str:
    """Return a run's end in one line."""
    lost = sum(record.counts.get(state, 0) for state in (JobState.FAILED, JobState.CANCELLED))
    jobs = "job" if record.jobs == 1 else "jobs"
    share = f"{lost} of {record.jobs} {jobs} did not finish" if lost else f"{record.jobs} {jobs}"
    told = share if record.state is RunState.FINISHED else record.reason or share
    return f"run {record.id} {record.state}: {told}"


def shortened(command: str, width: int = _COMMAND_WIDTH) -> str:
    """Return a command on one line, cut where it is long."""
    flat = " ".join(command.split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"


def failures_of(client: Client, record: RunRecord) -> Iterator[Failure]:
    """Yield what failed in a run, job by job."""
    if not record.counts.get(JobState.FAILED, 0):
        return
    header = client.ledger.header(record.id)
    places = client.places(header, record.id)
    failed = client.ledger.jobs(record.id, states={JobState.FAILED}, count=MANY)
    noted = client.ledger.failures(record.id, [job for job, _ in failed])
    for job, state in failed:
        tasks = client.ledger.tasks(record.id, header.tasks_of(job))
        yield from _of_job(places, job, state, tasks, noted.get(job, ()))


def _by_task(failure: Failure) -> tuple[bool, int]:
    """Tell the order in which people know their tasks; jobs hold them in another."""
    unknown = failure.task is None
    return (unknown, failure.job if failure.task is None else failure.task)


def _of_job(
    places: Places,
    job: int,
    state: JobRecord,
    tasks: dict[int, TaskSpec],
    noted: Sequence[FailedTask],
) -> Iterator[Failure]:
    exit_record = places.record(AttemptKey(job, state.attempt))
    ended: Sequence[TaskEnd | FailedTask] = noted
    if exit_record is not None:
        ended = [end for end in exit_record.tasks if not end.ok]
    bad = [end for end in ended if end.task in tasks]
    for end in bad:
        spec = tasks[end.task]
        yield Failure(
            job=job,
            task=spec.position,
            name=_name(spec),
            command=spec.command,
            outcome=state.outcome,
            code=end.code,
            reason=_reason(end, state.reason if exit_record is None else exit_record.reason),
            stderr=tail(places.log(spec, spec.errlog), _STDERR_LINES),
        )
    if not bad:
        yield _of_whole_job(places, job, state, list(tasks.values()))


def _of_whole_job(places: Places, job: int, state: JobRecord, tasks: Sequence[TaskSpec]) -> Failure:
    """Return what is known when no task is known to have failed: only a job of one task tells which it was."""
    known = tasks[0] if len(tasks) == 1 else None
    return Failure(
        job=job,
        task=known.position if known else None,
        name=_name(known) if known else f"job {job} of {len(tasks)} tasks",
        command=known.command if known else "",
        outcome=state.outcome,
        code=state.code,
        reason=state.reason,
        stderr=tail(places.log(known, known.errlog), _STDERR_LINES) if known else (),
    )


def _name(spec: TaskSpec) -> str:
    return spec.name or spec.path or "."


def _reason(end: TaskEnd | FailedTask, otherwise: str) -> str:
    return f"missing after the task: {', '.join(end.missing)}" if end.missing else otherwise
