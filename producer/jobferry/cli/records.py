"""`jobferry submission HASH`: what DPDispatcher's command of that name does to a submission of which there is a record.

$ jobferry submission 3f2a9c01d5e7 --download-finished-task --download-terminated-log
$ jobferry submission 3f2a9c01d5e7 --reset-fail-count
"""

from __future__ import annotations

from typing import Annotated

import typer

from jobferry.cli import runs
from jobferry.cli.options import Json, RunArgument
from jobferry_common.errors import BadInput, Problem


def submission(
    run: RunArgument,
    *,
    download_terminated_log: Annotated[
        bool, typer.Option("--download-terminated-log", help="Bring the outputs of failed tasks.")
    ] = False,
    download_finished_task: Annotated[
        bool, typer.Option("--download-finished-task", help="Bring the results there are.")
    ] = False,
    clean: Annotated[
        bool, typer.Option("--clean", help="Remove it: files on its cluster, and records.")
    ] = False,
    reset_fail_count: Annotated[
        bool, typer.Option("--reset-fail-count", help="Try again what failed, as if it never had.")
    ] = False,
    json: Json = False,
) -> None:
    """Do what DPDispatcher's command does to the newest run of a submission; without an option, show it."""
    if clean and reset_fail_count:
        what = "stands beside --clean, which leaves nothing to try again; expected one of the two"
        raise BadInput([Problem("--reset-fail-count", what)])
    if not (download_terminated_log or download_finished_task or clean or reset_fail_count):
        runs.status(run, json=json)
    if download_terminated_log or download_finished_task:
        runs.fetch(run, json=json)
    if reset_fail_count:
        runs.retry(run, wait=False, json=json)
    if clean:
        runs.clean(run, json=json)
