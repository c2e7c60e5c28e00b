"""Options and arguments that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from jobferry.cli.completion import complete_cluster, complete_run

if TYPE_CHECKING:
    from typer.models import OptionInfo


def cluster_option(*names: str, text: str) -> OptionInfo:
    """Return an option that takes the name of a cluster."""
    option: OptionInfo = typer.Option(
        *names, metavar="NAME", help=text, autocompletion=complete_cluster
    )
    return option


Json = Annotated[bool, typer.Option("--json", help="Print data as JSON; nothing else on stdout.")]
Follow = Annotated[
    bool,
    typer.Option("--follow", "-f", help="Go on with what comes; of one run, until it ends."),
]
Wait = Annotated[bool, typer.Option(help="Show the progress until it ends.")]
_RUN = typer.Argument(
    metavar="ID",
    help="A run, or the beginning of its id.",
    autocompletion=complete_run,
    show_default=False,
)
RunArgument = Annotated[str, _RUN]
MaybeRun = Annotated[str | None, _RUN]
ClusterArgument = Annotated[
    str,
    typer.Argument(metavar="NAME", help="A cluster's name.", autocompletion=complete_cluster),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Check everything, show the scripts, submit nothing.")
]
ExitOnSubmit = Annotated[
    bool, typer.Option("--exit-on-submit", "--no-wait", help="Do not wait for its end.")
]
NoClean = Annotated[bool, typer.Option("--no-clean", help="Keep the files on the cluster.")]
