"""`jobferry submit FILE`: hand a submission over, show its progress, say what came of it.

$ jobferry submit submission.json
$ jobferry submit submission.json --exit-on-submit --json
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobferry.cli.options import DryRun, ExitOnSubmit, Json, NoClean, cluster_option
from jobferry.cli.show import note, print_json
from jobferry_common.words import are, counted

if TYPE_CHECKING:
    from jobferry.handle import Handle
    from jobferry.submission import Submission


_Cluster = Annotated[
    str | None,
    cluster_option(
        "--cluster",
        text='Run it there instead of where the file says: NAME, NAME,NAME, or "any".',
    ),
]
_Priority = Annotated[
    int | None, typer.Option(help="Of your own submissions, those with more go first.")
]


def submit(  # noqa: PLR0913 - its options
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A submission as JSON, YAML or TOML.", show_default=False
        ),
    ],
    *,
    cluster: _Cluster = None,
    priority: _Priority = None,
    dry_run: DryRun = False,
    exit_on_submit: ExitOnSubmit = False,
    continue_on_failure: Annotated[
        bool, typer.Option("--continue-on-failure", help="A failed job does not end the others.")
    ] = False,
    allow_ref: Annotated[
        bool, typer.Option("--allow-ref", help='Allow "$ref" to other files.')
    ] = False,
    no_clean: NoClean = False,
    json: Json = False,
) -> None:
    """Submit the work that a file describes, and wait for its results."""
    submission = _read(file, cluster, allow_ref=allow_ref)
    if continue_on_failure:
        submission.continue_on_failure = True
    if no_clean:
        submission.clean = False
    if priority is not None:
        submission.priority = priority
    carry_out(submission, dry_run=dry_run, wait=not exit_on_submit, json=json)


def carry_out(submission: Submission, *, dry_run: bool, wait: bool, json: bool) -> None:
    """Hand a submission over, or with `dry_run` show what would be."""
    if dry_run:
        _preview(submission, json=json)
    else:
        _submit(submission, wait=wait, json=json)


def _read(file: Path, cluster: str | None, *, allow_ref: bool) -> Submission:
    from jobferry.progress import working
    from jobferry.submission import Submission

    names = cluster.split(",") if cluster and "," in cluster else cluster
    with working(f"reading {file}"):
        return Submission.load(file, allow_ref=allow_ref, cluster=names)


def _preview(submission: Submission, *, json: bool) -> None:
    from jobferry.preview import preview
    from jobferry.progress import working
    from jobferry_common.settings import load_settings

    with working("checking files"):
        scripts = preview(submission.prepare(), load_settings())
    if json:
        print_json(scripts)
        return
    work = f"{counted(scripts.tasks, 'task')} in {counted(scripts.jobs, 'job')}"
    note(f"{work} for {scripts.cluster}; nothing is submitted")
    for name, text in scripts.files.items():
        typer.echo(f"==> {name} <==\n{text}")


def _submit(submission: Submission, *, wait: bool, json: bool) -> None:
    from jobferry.cli.runs import run_data
    from jobferry.cli.watch import follow
    from jobferry.client import connect
    from jobferry.progress import working
    from jobferry.stack.secrets import Keeper
    from jobferry.submit import submit_document

    with working("checking files"):
        document = submission.prepare(keep=Keeper())
    with connect() as client:
        with working("handing over"):
            handle = submit_document(document, client)
        _tell(handle)
        if wait:
            follow(handle, json=json)
        elif json:
            print_json(run_data(handle.status()))
        else:
            typer.echo(handle.id)


def _tell(handle: Handle) -> None:
    if handle.attached:
        note(f"run {handle.id} is in flight already: this joins it")
    elif handle.taken_over:
        note(f"run {handle.id}: {are(handle.taken_over, 'task')} taken over from an earlier run")
    else:
        note(f"run {handle.id}")
