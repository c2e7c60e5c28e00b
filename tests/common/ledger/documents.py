"""Documents and steps for tests of the ledger."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from jobferry_common.document import Document, Header, TaskSpec
from jobferry_common.ledger.records import Change, Fence
from jobferry_common.models.resources import Resources
from jobferry_common.names import AttemptKey, ClusterName, RunId, SubmissionId, token_of
from jobferry_common.states import JobState, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jobferry_common.ledger import Ledger

ALPHA = ClusterName("alpha")
ACCOUNT = "alice@here"
MINUTE = timedelta(minutes=1)


def document(
    number: int = 1,
    *,
    tasks: int = 3,
    group: int = 1,
    owner: str = "alice@laptop",
    source: str | None = None,
    paths: Sequence[str] | None = None,
    **header: Any,
) -> Document:
    """Return submission `number`, in a directory of its own unless told otherwise."""
    names = paths or [f"task.{i}" for i in range(tasks)]
    specs = tuple(
        TaskSpec(position=i, command=f"./sim {i}", path=path, backward=("out",), key=f"key-{i}")
        for i, path in enumerate(names)
    )
    head = Header(
        submission=SubmissionId(f"{number:012x}"),
        owner=owner,
        cluster=header.pop("cluster", ALPHA),
        source=source or f"/home/alice/{number}",
        resources=Resources(group_size=group, envs={"A": "1"}, module_list=("gcc",)),
        tasks=len(specs),
        **header,
    )
    return Document(header=head, tasks=specs)


def fence_of(ledger: Ledger) -> Fence:
    """Return the lease of the test's account."""
    fence = ledger.acquire(ACCOUNT, "a test", MINUTE)
    if fence is None:
        lease = ledger.lease(ACCOUNT)
        if lease is None:
            msg = "neither free nor held"
            raise AssertionError(msg)
        return lease.fence
    return fence


def reserve(ledger: Ledger, run: RunId, jobs: Iterable[int], *, single: bool = False) -> bool:
    """Reserve jobs at the attempt that is due."""
    attempts = [AttemptKey(job, ledger.job(run, job).attempt) for job in jobs]
    token = token_of(run, attempts)
    fence = fence_of(ledger)
    return ledger.reserve(run, ALPHA, token, attempts, fence=fence, now=10.0, single=single)


def change_to(ledger: Ledger, run: RunId, job: int, state: JobState, **fields: Any) -> Change:
    """Return the change of a job from what stands to `state`."""
    due, place = fields.pop("due", 0.0), fields.pop("place", None)
    record = ledger.job(run, job)
    new = replace(record.to(state, now=20.0), **fields)
    return Change(job=job, was=(record.state, record.attempt), record=new, due=due, place=place)


def move(ledger: Ledger, run: RunId, job: int, *states: JobState) -> None:
    """Take a job through states, one after the other."""
    for state in states:
        outcome = Outcome.SUCCEEDED if state is JobState.EXITED else ledger.job(run, job).outcome
        change = change_to(ledger, run, job, state, outcome=outcome)
        if ledger.change(run, [change], fence=fence_of(ledger)) != [True]:
            msg = f"{state} was not taken"
            raise AssertionError(msg)


def finish(ledger: Ledger, run: RunId, job: int) -> None:
    """Take a pending job to its end."""
    if not reserve(ledger, run, [job]):
        msg = f"job {job} cannot be reserved"
        raise AssertionError(msg)
    move(ledger, run, job, JobState.EXITED, JobState.FINISHED)
