"""What the program prints, where that cannot be printed: a full disk is told, a reader that left is not.

$ jobferry status > /dev/full
jobferry: the output cannot be written: No space left on device        (exit code 1)
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from jobferry.cli.guard import UNEXPECTED, OutputFailed, complain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer


class _Raw(io.FileIO):
    """A file whose errors can be told from those of others."""

    def write(self, data: Buffer, /) -> int:
        """Write some of it."""
        try:
            return super().write(data)
        except BrokenPipeError:  # typer ends quietly with 1
            raise
        except OSError as error:
            raise OutputFailed(*error.args) from error


@contextmanager
def output() -> Iterator[None]:
    """Have a standard output whose failure ends the program with a message; also where it is closed."""
    sys.stderr = sys.stderr or _nowhere()
    sys.stdout = _nowhere() if sys.stdout is None else _told(sys.stdout)
    try:
        yield
    except OutputFailed as error:
        # or the interpreter tries again when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        complain(f"the output cannot be written: {error.strerror}")
        sys.exit(UNEXPECTED)


def _told(stream: TextIO) -> TextIO:
    raw = _Raw(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.isatty(),
    )


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 - until the program ends
