"""`jobferry watch`: the progress of a run until it ends; Ctrl-C leaves it running."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import typer

from jobferry.cli.options import Json, RunArgument
from jobferry.cli.runs import failure_data, print_failures, run_data
from jobferry.cli.show import note, print_json

if TYPE_CHECKING:
    from jobferry.handle import Handle
    from jobferry.results import Result


def watch(run: RunArgument, *, json: Json = False) -> None:
    """Show the progress of a run until its results are here.

    The exit code is 0 if it finished, 1 if it failed.
    """
    from jobferry.client import connect

    with connect() as client:
        follow(client.handle(run), json=json)


def follow(handle: Handle, *, json: bool) -> None:
    """Show the progress of a run, then what came of it; leave with 1 unless it finished and all came back."""
    from jobferry.waiting import coming_back, wait_shown

    try:
        record = wait_shown(handle)
    except KeyboardInterrupt:
        note(coming_back(handle.id))
        raise
    result = handle.outcome(record)
    if json:
        failures = [failure_data(failure) for failure in result.failures]
        print_json({**run_data(record), "failures": failures, "lack": result.lack})
    else:
        _tell(result, handle.client.ledger.header(handle.id).source)
    if not result.ok or result.lack:
        raise typer.Exit(1)


def _tell(result: Result, place: str) -> None:
    from jobferry.results import headline

    record = result.run
    note(f"{headline(record)} in {(record.finished or time.time()) - record.accepted:.1f} s")
    print_failures(result.failures)
    if result.lack and result.lack not in record.reason:
        note(result.lack)
    elif result.lack:
        note(record.reason)
    elif result.ok:
        note(f"the results are in {place}")
    if not result.ok:
        note(f"run what is unfinished again with: jobferry retry {record.id}")
