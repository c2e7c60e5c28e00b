"""`jobferry run SCRIPT`: a script that says itself where it runs; `schema` and `convert`, about files of users.

$ jobferry run fit.py
$ jobferry schema submission > submission.schema.json
$ jobferry convert old.json
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobferry.cli.options import DryRun, ExitOnSubmit, Json, NoClean
from jobferry.cli.show import note, print_json

_Script = Annotated[
    Path,
    typer.Argument(
        metavar="SCRIPT",
        help="A script with PEP 723 metadata and a table [tool.jobferry] in it.",
        show_default=False,
    ),
]
_File = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="A file as JSON, YAML or TOML.", show_default=False),
]


def run(
    script: _Script,
    *,
    dry_run: DryRun = False,
    exit_on_submit: ExitOnSubmit = False,
    allow_ref: Annotated[
        bool,
        typer.Option("--allow-ref", help='Allow "$ref" to files below the script\'s directory.'),
    ] = False,
    no_clean: NoClean = False,
    json: Json = False,
) -> None:
    """Run a script where its own metadata says, and wait for its results."""
    from jobferry.cli.submit import carry_out
    from jobferry.script import load_script

    made: list[Path] = []
    submission = load_script(script, allow_ref=allow_ref, made=made)
    if no_clean:
        submission.clean = False
    for copy in made if not dry_run else ():
        note(f"the script lies outside of its work base: copied to {copy}")
    try:
        carry_out(submission, dry_run=dry_run, wait=not exit_on_submit, json=json)
    finally:
        for copy in made if dry_run else ():
            copy.unlink(missing_ok=True)


def schema(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="KIND", help="submission, machine, … ; all if left out.", show_default=False
        ),
    ] = None,
) -> None:
    """Print the JSON Schema of a file, so that editors complete and check it."""
    from jobferry_common.models.schemas import schema_of, schemas

    print_json(schemas() if kind is None else schema_of(kind))


def convert(
    file: _File,
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write there instead.", show_default=False),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would change, write nothing.")
    ] = False,
    allow_ref: Annotated[
        bool, typer.Option("--allow-ref", help='Allow "$ref" to other files; it stays in the file.')
    ] = False,
) -> None:
    """Rewrite an older file in today's form, and say what changed."""
    from jobferry.convert import converted, write

    data, changes = converted(file, allow_ref=allow_ref)
    for change in changes:
        note(change)
    if not changes and output is None:
        note(f"{file} has today's form")
    elif dry_run:
        note("nothing is written")
    else:
        note(f"written: {write(data, output or file)}")
