"""The command `jobferry`, assembled.

$ jobferry submit submission.json
$ jobferry status
$ jobferry --install-completion
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from jobferry.cli import (
    clusters,
    events,
    logs,
    records,
    runs,
    scripts,
    serve,
    sharing,
    stack,
    submit,
    watch,
)
from jobferry.cli.guard import Commands
from jobferry.cli.output import output

_HELP = "Ferry batch jobs to clusters, and their results back."
_FURTHER = {"allow_extra_args": True, "ignore_unknown_options": True}

app = typer.Typer(
    name="jobferry",
    help=_HELP,
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command()(submit.submit)
app.command()(scripts.run)
app.command()(runs.status)
app.command()(records.submission)
app.command()(watch.watch)
app.command()(logs.logs)
app.command()(events.events)
app.command()(runs.cancel)
app.command()(runs.retry)
app.command()(runs.fetch)
app.command()(runs.clean)
app.command()(sharing.hold)
app.command()(sharing.release)
app.command()(sharing.abandon)
app.add_typer(clusters.group)
app.command()(stack.up)
app.command()(stack.down)
app.command(context_settings=_FURTHER)(serve.worker)
app.command(context_settings=_FURTHER)(serve.beat)
app.command(context_settings=_FURTHER)(serve.flower)
app.command()(stack.doctor)
app.command()(stack.putback)
app.command()(stack.config)
app.command()(scripts.schema)
app.command()(scripts.convert)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"jobferry {version('jobferry')}")
        raise typer.Exit


@app.callback()
def options(
    *,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show errors with their traceback.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Ferry batch jobs to clusters, and their results back."""
    import logging

    level = logging.DEBUG if debug else logging.WARNING
    logging.basicConfig(level=level, format="jobferry: %(message)s", stream=sys.stderr)


def main() -> None:
    """Run the command line."""
    with output():
        app(prog_name="jobferry")


if __name__ == "__main__":
    main()
