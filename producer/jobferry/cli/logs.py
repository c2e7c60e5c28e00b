"""`jobferry logs`: what tasks printed, also while they run.

$ jobferry logs 3f2a 2 --follow
"""

from __future__ import annotations

from dataclasses import asdict
from itertools import chain, islice
from typing import TYPE_CHECKING, Annotated

import typer

from jobferry.cli.options import Follow, Json, RunArgument
from jobferry.cli.show import note, print_json_line

if TYPE_CHECKING:
    from collections.abc import Collection

    from jobferry.client import Client
    from jobferry.handle import Handle
    from jobferry.logs import Line
    from jobferry.places import Places
    from jobferry_common.document import TaskSpec

_MANY_TASKS = 50


def logs(
    run: RunArgument,
    task: Annotated[
        str | None,
        typer.Argument(
            metavar="[TASK]",
            help="A task's number (from 0), name or directory; all of them if not given.",
            show_default=False,
        ),
    ] = None,
    *,
    follow: Follow = False,
    json: Json = False,
) -> None:
    """Show what tasks printed on stdout and stderr."""
    from jobferry.client import connect
    from jobferry.logs import read_logs

    with connect() as client:
        handle = client.handle(run)
        tasks = _chosen(client, handle, task)
        places = client.places(client.ledger.header(handle.id), handle.id)
        show = print_json if json else Printer(titled=len(tasks) > 1)
        printed = 0
        for line in read_logs(handle, places, tasks, follow=follow):
            show(line)
            printed += 1
        if not printed:
            note(_nothing(handle, places, tasks.values()))


def _chosen(client: Client, handle: Handle, task: str | None) -> dict[int, TaskSpec]:
    from jobferry.logs import choose

    tasks = chain.from_iterable(client.ledger.task_pages(handle.id))
    if task is not None:
        return choose(tasks, task)
    first = dict(islice(tasks, _MANY_TASKS))
    if next(tasks, None) is not None:
        note(f"the first {_MANY_TASKS} tasks are shown; name one: jobferry logs {handle.id} TASK")
    return first


def _nothing(handle: Handle, places: Places, specs: Collection[TaskSpec]) -> str:
    from jobferry_common.states import ResultsState

    if handle.status().results is ResultsState.DEPOT:
        return f"nothing to show: all is in the depot; bring it with: jobferry fetch {handle.id}"
    logs = (places.log(spec, name) for spec in specs for name in (spec.outlog, spec.errlog))
    if places.base is None and not any(logs):
        return (
            "nothing to show: its files on the cluster cannot be seen from here, and none came back"
        )
    return "nothing was printed"


def print_json(line: Line) -> None:
    """Print a line as JSON."""
    print_json_line(asdict(line))


class Printer:
    """Prints lines; before another output begins, a title tells which."""

    def __init__(self, *, titled: bool) -> None:
        self._titled = titled
        self._title: tuple[int, str] | None = None

    def __call__(self, line: Line) -> None:
        """Print a line."""
        title = (line.task, line.stream)
        if self._titled and title != self._title:
            space = "" if self._title is None else "\n"
            typer.echo(f"{space}==> task {line.task} ({line.name}): {line.stream} <==")
            self._title = title
        typer.echo(line.text, err=not self._titled and line.stream == "errlog")
