"""The border of the command line: errors become one message on stderr and an exit code.

jobferry: submission.json: resources.gruop_size: unknown key, did you mean 'group_size'?     (exit code 2)
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from jobferry_common.errors import JobferryError

if TYPE_CHECKING:
    from collections.abc import Callable

_INTERRUPTED = 130
#: exit code of what nobody foresaw
UNEXPECTED = 1
_log = logging.getLogger(__name__)


class OutputFailed(OSError):  # noqa: N818 - reads better than ...Error
    """What is printed cannot be written."""


class Commands(TyperGroup):
    """The group of all commands; no error leaves it as a traceback."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - typer's Context, the base class says
        """Run a command; turn its errors into exit codes."""
        invoke = super().invoke
        return guarded(lambda: invoke(ctx), debug=_wants_debug(ctx))


def guarded(run: Callable[[], Any], *, debug: bool) -> Any:  # noqa: ANN401
    """Return what `run` returns, or leave with the exit code of its error."""
    try:
        return run()
    except KeyboardInterrupt:
        raise typer.Exit(_INTERRUPTED) from None
    except JobferryError as error:
        if debug:
            raise
        complain(str(error))
        raise typer.Exit(error.exit_code) from None
    except (BrokenPipeError, OutputFailed):  # see `output`
        raise
    except (typer.Exit, typer.Abort, typer.TyperException):
        raise
    except Exception as error:  # the boundary of the program
        if debug or _is_usage(error):
            raise
        _log.debug("unexpected", exc_info=True, extra={"action": "unexpected_error"})
        complain(_unexpected(error))
        raise typer.Exit(UNEXPECTED) from None


def complain(message: str) -> None:
    """Print an error, each line under the name of the program."""
    lines = message.splitlines() or ["unknown error"]
    typer.echo("\n".join([f"jobferry: {lines[0]}", *(f"  {line}" for line in lines[1:])]), err=True)


def _unexpected(error: Exception) -> str:
    words = str(error).strip().splitlines()
    first = f": {words[0]}" if words else ""
    return f"unexpected {type(error).__name__}{first}\nsee all of it with: jobferry --debug …"


def _is_usage(error: Exception) -> bool:
    """True for what typer itself explains: a wrong option, a missing argument."""
    return type(error).__module__.startswith(("typer.", "click."))


def _wants_debug(ctx: typer.Context) -> bool:
    return bool(ctx.params.get("debug")) or bool(os.environ.get("JOBFERRY_DEBUG"))
