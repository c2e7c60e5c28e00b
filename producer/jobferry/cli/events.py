"""`jobferry events`: what happened and what happens, one line an event.

$ jobferry events 3f2a --follow
12:01:07  job  3f2a9c01d5e7-1/0  queued
12:01:09  job  3f2a9c01d5e7-1/0  failed  failed, exit code 3
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobferry.cli.options import Follow, Json, MaybeRun
from jobferry.cli.show import fields, print_json_line
from jobferry_common.states import RunState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobferry.client import Client
    from jobferry_common.events import Event

_BLOCK_SECONDS = 5.0


def events(
    run: MaybeRun = None,
    *,
    follow: Follow = False,
    after: Annotated[str, typer.Option(help="Begin after the event of this cursor.")] = "0",
    json: Json = False,
) -> None:
    """Show the events of a run, or of all; --json gives a line each."""
    from jobferry.client import connect

    show: Callable[[Event], None] = _print_json if json else _print
    with connect() as client:
        source = _all(client, after, follow=follow) if run is None else None
        for event in source or _of_run(client, str(run), after, follow=follow):
            show(event)


def event_data(event: Event) -> dict[str, Any]:
    """Return an event as JSON has it."""
    names = ("cursor", "at", "kind", "run", "cluster", "job", "state", "attempt")
    return fields(event, *names, "outcome", "code", "results", "reason")


def _of_run(client: Client, run: str, after: str, *, follow: bool) -> Iterator[Event]:
    handle = client.handle(run)
    if follow:
        yield from handle.events(after=after)
    else:
        yield from _recorded(client, handle.id, after)


def _recorded(client: Client, run: Any, after: str) -> Iterator[Event]:  # noqa: ANN401
    while found := client.events(run, after):
        yield from found
        after = found[-1].cursor


def _all(client: Client, after: str, *, follow: bool) -> Iterator[Event]:
    from jobferry.patience import Patience

    if not follow:
        yield from _recorded(client, None, after)
        return
    # a broker that never answered is an error; one that goes away is waited for
    found = client.events(None, after)
    patience = Patience(None)
    while True:
        yield from found
        after = found[-1].cursor if found else after
        found = patience.call(partial(client.events, None, after, _BLOCK_SECONDS))


def _print_json(event: Event) -> None:
    print_json_line(event_data(event))


def _print(event: Event) -> None:
    clock = time.strftime("%H:%M:%S", time.localtime(event.at))
    what = "" if event.run is None else str(event.run)
    if event.job is not None:
        what = f"{what}/{event.job}"
    code = "" if event.code is None else f"exit code {event.code}"
    # where the results are is news of a run that ended
    results = f"results {event.results}" if event.kind == "run" and _is_over(event) else ""
    words = ", ".join(str(word) for word in (event.outcome, code, event.reason, results) if word)
    typer.echo(f"{clock}  {event.kind:7}  {what}  {event.state or ''}  {words}".rstrip())


def _is_over(event: Event) -> bool:
    return event.state in {state.value for state in RunState if state.is_final}
