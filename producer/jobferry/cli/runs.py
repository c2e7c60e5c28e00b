"""`jobferry status`, `cancel`, `retry`, `fetch` and `clean`: what is said of runs and done to them.

$ jobferry status
run             state   jobs  states                    cluster  accepted   name
3f2a9c01d5e7-1  active  4     running 2 · finished 2    hpc1     3 min ago  fit
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobferry.cli.options import Json, MaybeRun, RunArgument, Wait
from jobferry.cli.show import ago, fields, note, print_json, print_table, when
from jobferry_common.words import are, counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jobferry.client import Client
    from jobferry.results import Failure
    from jobferry_common.ledger.records import JobRecord, RunRecord

_COLUMNS = ("run", "state", "jobs", "states", "results", "cluster", "accepted", "name")
_JOB_COLUMNS = ("job", "state", "try", "id", "since", "outcome", "code", "reason")
_MANY_JOBS = 20
_MOST_RUNS = 1_000_000


def status(
    run: MaybeRun = None,
    *,
    jobs: Annotated[bool, typer.Option("--jobs", help="List every job of the run.")] = False,
    limit: Annotated[
        int, typer.Option(min=1, max=_MOST_RUNS, help="Show at most so many runs.")
    ] = 50,
    json: Json = False,
) -> None:
    """Show the recent runs, or one run with its jobs."""
    from jobferry.client import connect
    from jobferry.results import is_settled

    with connect() as client:
        if run is None:
            records = client.ledger.runs(limit=limit)
            _list(records, json=json)
            for record in filter(is_settled, records):
                client.kept.forget(record.id)
        else:
            _one(client, client.handle(run).status(), every=jobs, json=json)


def cancel(run: RunArgument, *, json: Json = False) -> None:
    """End a run: its jobs are cancelled at the scheduler."""
    from jobferry.client import connect

    with connect() as client:
        handle = client.handle(run)
        wished = handle.cancel()
        record = handle.status()
        if json:
            print_json({**run_data(record), "cancelled": wished})
        elif wished:
            note(f"run {record.id} will end; see it end with: jobferry watch {record.id}")
        else:
            note(f"run {record.id} had ended before: {record.state}")


def retry(
    run: RunArgument,
    *,
    wait: Wait = True,
    json: Json = False,
) -> None:
    """Run again what a run left unfinished."""
    from jobferry.cli.watch import follow
    from jobferry.client import connect
    from jobferry.progress import working

    with connect() as client:
        old = client.handle(run)
        with working(f"handing the rest of {old.id} over"):
            new = old.retry()
        done = are(new.taken_over, "task")
        note(f"run {new.id} goes on where {old.id} stopped: {done} taken over")
        if wait:
            follow(new, json=json)
        elif json:
            print_json(run_data(new.status()))


def fetch(
    run: RunArgument,
    *,
    into: Annotated[
        Path | None,
        typer.Option(
            help="Bring what is in the depot into this directory instead.",
            exists=True,
            file_okay=False,
            show_default=False,
        ),
    ] = None,
    wait: Wait = True,
    json: Json = False,
) -> None:
    """Bring the results of a run that wait in the depot, or all of them once more.

    Once more: for what could not be written here and can be now, as long as the cluster has it; what was changed here
    is replaced.
    """
    from jobferry.client import connect
    from jobferry.fetch import fetch_into
    from jobferry.waiting import wait_shown

    with connect() as client:
        handle = client.handle(run)
        if into is None:
            handle.fetch()
            record = wait_shown(handle) if wait else handle.status()
        else:
            record = fetch_into(client, handle.id, str(into))
        lack = client.ledger.lack(record.id)
        if json:
            print_json({**run_data(record), "lack": lack})
        elif wait:
            note(f"run {record.id}: {lack or 'all results are here'}")
        else:
            note(f"the results of run {record.id} will be brought: jobferry watch {record.id}")
    if lack:
        raise typer.Exit(1)


def clean(
    run: RunArgument,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Even if its results were never fetched; cancels it.")
    ] = False,
    json: Json = False,
) -> None:
    """Remove a run: files on its cluster, and records."""
    from jobferry.client import connect
    from jobferry.progress import working

    with connect() as client:
        handle = client.handle(run)
        with working(f"cleaning {handle.id}"):
            handle.clean(force=force)
        if json:
            print_json({"run": handle.id, "cleaned": True})
        else:
            note(f"run {handle.id} was cleaned")


def run_data(record: RunRecord) -> dict[str, Any]:
    """Return a run as JSON has it."""
    what = ("submission", "state", "results", "cluster", "name", "owner", "jobs", "tasks", "counts")
    how = ("staged", "cancel", "held", "priority", "taken_over", "accepted", "finished", "reason")
    return {"run": record.id, "clusters": list(record.clusters), **fields(record, *what, *how)}


def job_data(job: int, record: JobRecord) -> dict[str, Any]:
    """Return a job as JSON has it."""
    names = ("state", "attempt", "id", "cluster", "outcome", "code", "since", "reason")
    return {"job": job, **fields(record, *names)}


def failure_data(failure: Failure) -> dict[str, Any]:
    """Return a failed task as JSON has it."""
    names = ("job", "task", "name", "command", "outcome", "code", "reason", "stderr")
    return fields(failure, *names)


def print_failures(failures: Iterable[Failure]) -> None:
    """Print what failed, a task a row, with the last lines of its stderr."""
    from jobferry.results import shortened

    rows = [
        (
            "" if failure.task is None else str(failure.task),
            failure.name,
            failure.what,
            shortened(failure.command, 40),
            "\n".join(failure.stderr),
        )
        for failure in failures
    ]
    if rows:
        print_table(("task", "name", "failure", "command", "last lines of stderr"), rows)


def _list(records: list[RunRecord], *, json: bool) -> None:
    if json:
        print_json([run_data(record) for record in records])
    elif records:
        print_table(_COLUMNS, map(_row, records))
    else:
        note("no runs yet; submit one with: jobferry submit FILE")


def _row(record: RunRecord) -> tuple[str, ...]:
    from jobferry.progress import states

    return (
        record.id,
        _state(record),
        str(record.jobs),
        states(record.counts),
        record.results,
        ", ".join(record.clusters),
        f"{ago(record.accepted)} ago",
        record.name,
    )


def _state(record: RunRecord) -> str:
    if record.state.is_final:
        return record.state
    return "cancelling" if record.cancel else "held" if record.held else record.state


def _one(client: Client, record: RunRecord, *, every: bool, json: bool) -> None:
    from jobferry.results import result_of

    count = record.jobs if every or json else _MANY_JOBS
    jobs = client.ledger.jobs(record.id, count=max(count, 1))
    failures = result_of(client, record).failures
    if json:
        spread = client.ledger.by_cluster(record.id)
        data = {**run_data(record), "job_list": [job_data(*pair) for pair in jobs]}
        data["by_cluster"] = {name: dict(counts) for name, counts in spread.items()}
        data["refused_by"] = dict(client.ledger.refused(record.id))
        print_json({**data, "failures": [failure_data(failure) for failure in failures]})
        return
    _describe(client, record)
    _print_jobs(jobs, shared=bool(record.targets))
    if len(jobs) < record.jobs:
        note(
            f"… and {counted(record.jobs - len(jobs), 'more job')}: jobferry status {record.id} --jobs"
        )
    print_failures(failures)


def _describe(client: Client, record: RunRecord) -> None:
    from jobferry.progress import states
    from jobferry.results import is_settled

    lines = {
        "run": f"{record.id} {record.name}".strip(),
        "state": f"{record.state}{', cancelling' if record.cancel else ''}{', held' if record.held else ''}",
        "jobs": f"{record.jobs} ({states(record.counts)}), {counted(record.tasks, 'task')}",
        "resumes": _resumed(record),
        "results": record.results,
        "cluster": _spread(client, record),
        "priority": str(record.priority or ""),
        "accepted": when(record.accepted),
        "ended": when(record.finished),
        "reason": record.reason,
        "refused": "; ".join(
            f"{name}: {why}" for name, why in client.ledger.refused(record.id).items()
        ),
        "waits": "" if is_settled(record) else client.why_waiting(record),
    }
    for name, value in lines.items():
        if value:
            typer.echo(f"{name:9} {value}")


def _resumed(record: RunRecord) -> str:
    if not record.taken_over:
        return ""
    return f"{record.resumes}, whose results of {counted(record.taken_over, 'task')} are taken over"


def _spread(client: Client, record: RunRecord) -> str:
    """Return the run's cluster; of several each with its jobs: `hpc1: running 3 · finished 9, hpc2: finished 8`."""
    from jobferry.progress import states

    if not record.targets:
        return record.cluster
    at = client.ledger.by_cluster(record.id)
    names = dict.fromkeys((*record.clusters, *at))
    return ", ".join(f"{name}: {states(at[name])}" if name in at else name for name in names)


def _print_jobs(jobs: Sequence[tuple[int, JobRecord]], *, shared: bool) -> None:
    if not shared:
        print_table(_JOB_COLUMNS, [_job_row(*pair) for pair in jobs])
        return
    first, *columns = _JOB_COLUMNS
    rows = [(str(job), record.cluster, *_job_row(job, record)[1:]) for job, record in jobs]
    print_table((first, "cluster", *columns), rows)


def _job_row(job: int, record: JobRecord) -> tuple[str, ...]:
    return (
        str(job),
        record.state,
        str(record.attempt),
        record.id,
        f"{ago(record.since)} ago" if record.since else "-",
        record.outcome or "",
        "" if record.code is None else str(record.code),
        record.reason,
    )
