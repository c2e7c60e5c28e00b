"""How the command line prints: data to stdout, as a table or as JSON; everything else to stderr."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def console(*, stderr: bool = False) -> Console:
    """Return a console; tables in a pipe are as wide as they need."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else 200
    return Console(stderr=stderr, width=width, highlight=False, soft_wrap=False)


def print_json(data: object) -> None:
    """Print one JSON document, indented."""
    typer.echo(json.dumps(plain(data), indent=2, ensure_ascii=False))


def print_json_line(data: object) -> None:
    """Print one line of JSON, at once."""
    typer.echo(json.dumps(plain(data), ensure_ascii=False))
    sys.stdout.flush()


def plain(data: object) -> Any:  # noqa: ANN401 - whatever JSON knows
    """Turn records into what JSON knows."""
    if is_dataclass(data) and not isinstance(data, type):
        return plain(asdict(data))
    if isinstance(data, dict):
        return {str(key): plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple | set | frozenset):
        return [plain(value) for value in data]
    return data


def fields(record: object, *names: str) -> dict[str, Any]:
    """Return attributes of a record by their names, as JSON has them."""
    return {name: plain(getattr(record, name)) for name in names}


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under their columns, without lines around them."""
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    console().print(table)


def note(message: str) -> None:
    """Say something that is not data."""
    typer.echo(message, err=True)


def ago(moment: float) -> str:
    """Return how long ago a Unix time is: `5 s`, `3 min`, `2 h`, `4 d`; `never` for 0."""
    return span(time.time() - moment) if moment else "never"


def span(seconds: float) -> str:
    """Return a duration in one unit."""
    seconds = max(0.0, seconds)
    for unit, length in (("d", _DAY), ("h", _HOUR), ("min", _MINUTE)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def when(moment: float | None) -> str:
    """Return a Unix time as local date and time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment)) if moment else "-"
