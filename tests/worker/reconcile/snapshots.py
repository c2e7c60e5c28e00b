"""Snapshots for tests of the plan, in few words."""

from __future__ import annotations

from typing import Any

from jobferry_common.document import Policy
from jobferry_common.ledger.records import JobInFlight, JobRecord, RunRecord
from jobferry_common.names import (
    AttemptKey,
    ClusterName,
    JobKey,
    RunId,
    SchedulerId,
    SubmissionId,
    Token,
)
from jobferry_common.schedulers.base import Phase, Seen
from jobferry_common.scripts.records import ExitRecord, TaskEnd
from jobferry_common.states import JobState, Outcome, ResultsState, RunState
from jobferry_worker.reconcile.actions import Try
from jobferry_worker.reconcile.snapshot import Look, RunView, Snapshot
from tests.common.ledger.documents import document

NOW = 10_000.0
RUN = RunId("5e7-1")
TOKEN = Token("jf.5e7-1.abc")


def flying(state: JobState = JobState.RUNNING, *, job: int = 0, **fields: Any) -> JobInFlight:
    """Return a job in flight; its scheduler id is "7_<job>" once it has one."""
    given = {
        "id": SchedulerId("" if state is JobState.SUBMITTING else f"7_{job}"),
        "token": TOKEN,
        "cluster": ClusterName("alpha"),
        "since": NOW - 1000,
        **fields,
    }
    run = given.pop("run", RUN)
    return JobInFlight(key=JobKey(run, job), record=JobRecord(state=state, **given), index=job)


def view(
    run: RunId = RUN,
    *,
    jobs: int = 10,
    counts: dict[JobState, int] | None = None,
    cancel: bool = False,
    staged: bool = True,
    owner: str = "ann@a",
    **policy: Any,
) -> RunView:
    """Return a run of so many jobs with one task each; all pending unless told otherwise."""
    record = RunRecord(
        id=run,
        submission=SubmissionId(run.partition("-")[0]),
        number=1,
        owner=owner,
        state=RunState.ACTIVE,
        results=ResultsState.REMOTE,
        cluster=ClusterName("alpha"),
        name="",
        staged=staged,
        cancel=cancel,
        tasks=jobs,
        jobs=jobs,
        counts=counts or {JobState.PENDING: jobs},
        accepted=0.0,
        finished=None,
        reason="",
        taken_over=0,
    )
    return RunView(record=record, header=document(tasks=jobs, policy=Policy(**policy)).header)


def exit_record(code: int = 0, *, job: int = 0, provisional: bool = False) -> ExitRecord:
    """Return the record of an attempt with one task."""
    task = TaskEnd(task=job, code=code, started=1.0, ended=2.0)
    return ExitRecord(
        attempt=AttemptKey(job, 1),
        id=SchedulerId(f"7_{job}"),
        provisional=provisional,
        reason="ended by signal 15" if provisional else "",
        started=1.0,
        ended=2.0,
        tasks=() if provisional else (task,),
    )


def says(
    phase: Phase = Phase.RUNNING,
    outcome: Outcome | None = None,
    *,
    job: int = 0,
    code: int | None = None,
) -> Look:
    """Return a listing that has one job."""
    id_ = SchedulerId(f"7_{job}")
    return Look(jobs={id_: Seen(id=id_, phase=phase, outcome=outcome, code=code)})


EMPTY = Look(jobs={})


def attempt(job: int = 0, number: int = 1, run: RunId = RUN) -> Try:
    """Return the first attempt of a job."""
    return Try(run, AttemptKey(job, number))


def seen(*jobs: JobInFlight, **fields: Any) -> Snapshot:
    """Return a snapshot with these jobs in flight."""
    fields.setdefault("runs", {RUN: view(counts={JobState.RUNNING: 10})})
    return Snapshot(now=NOW, flight=jobs, **fields)
