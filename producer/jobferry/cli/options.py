"""Options and arguments that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from jobferry.cli.completion import complete_cluster, complete_run

Json = Annotated[bool, typer.Option("--json", help="Print data as JSON; nothing else on stdout.")]
RunArgument = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="A run, or the beginning of its id.",
        autocompletion=complete_run,
        show_default=False,
    ),
]
MaybeRun = Annotated[
    str | None,
    typer.Argument(
        metavar="[ID]",
        help="A run, or the beginning of its id.",
        autocompletion=complete_run,
        show_default=False,
    ),
]
ClusterArgument = Annotated[
    str,
    typer.Argument(metavar="NAME", help="A cluster's name.", autocompletion=complete_cluster),
]
