"""`jobferry up`, `down`, `doctor` and `config`: the embedded stack, and what surrounds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobferry.cli.options import Json
from jobferry.cli.show import fields, note, print_json

if TYPE_CHECKING:
    from jobferry_common.settings import Settings


def up(*, json: Json = False) -> None:
    """Start a broker, a worker and a beat on this machine."""
    from jobferry import stack
    from jobferry.progress import working
    from jobferry_common.settings import load_settings

    settings = load_settings()
    with working("starting the embedded stack"):
        stack.up(settings)
    _show_stack(settings, json=json)


def down(*, json: Json = False) -> None:
    """Stop them; the work they accepted is kept. Settings that are wrong elsewhere do not matter."""
    from jobferry import stack
    from jobferry.progress import working
    from jobferry_common.settings import load_what_stops

    settings, wrong = load_what_stops()
    if wrong is not None:
        note(f"the settings are wrong, and this takes what is right in them:\n{wrong}")
    with working("stopping the embedded stack"):
        stack.down(settings)
    _show_stack(settings, json=json)


def doctor(*, json: Json = False) -> None:
    """Check settings, broker and workers; say what to do.

    The exit code is 0 if all is well, 3 if the broker does not answer, else 1.
    """
    from jobferry import doctor as checks
    from jobferry_common.settings import load_settings

    findings = []
    for finding in checks.examine(load_settings()):
        findings.append(finding)
        if not json:
            typer.echo(str(finding))
    if json:
        print_json([fields(finding, "ok", "name", "what", "next_step") for finding in findings])
    if code := max((finding.exit_code for finding in findings if not finding.ok), default=0):
        raise typer.Exit(code)


def putback(
    name: Annotated[str, typer.Argument(metavar="ID", help="What `jobferry doctor` calls it.")],
    *,
    json: Json = False,
) -> None:
    """Have a run or a message that was set aside tried again, because it made workers fail."""
    from jobferry.client import connect

    with connect() as client:
        found = client.put_back(name)
    if json:
        print_json(fields(found, "id", "where", "why", "at"))
    else:
        note(f"{found.id} is tried again at {found.where}; it had been set aside: {found.why}")


def config(*, json: Json = False) -> None:
    """Show the settings in force, without secrets."""
    from jobferry_common.broker_url import BrokerUrl
    from jobferry_common.settings import config_path, load_settings

    settings = load_settings()
    data: dict[str, Any] = settings.model_dump(mode="json")
    data["broker"] = BrokerUrl.parse(settings.broker).shown if settings.broker else None
    if json:
        print_json({"path": str(config_path()), **data})
        return
    note(f"from {config_path()} and JOBFERRY_* variables")
    for key, value in _flat(data):
        typer.echo(f"{key} = {value}")


def _flat(data: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    lines: list[tuple[str, Any]] = []
    for key, value in data.items():
        if isinstance(value, dict):
            lines += _flat(value, f"{prefix}{key}.")
        else:
            lines.append((f"{prefix}{key}", "not set" if value is None else value))
    return lines


def _show_stack(settings: Settings, *, json: bool) -> None:
    from jobferry import stack

    status = stack.status(settings)
    if json:
        print_json(status)
    else:
        note(str(status))
