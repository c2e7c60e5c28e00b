"""An embedded stack of a test's own, as a user has it who has set nothing.

with own_stack(short_path, monkeypatch, JOBFERRY_LOG_LEVEL="DEBUG") as settings: ...
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from jobferry import stack
from jobferry.stack.home import Home
from jobferry.stack.record import read_record
from jobferry_common.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest


@contextmanager
def own_stack(
    directory: Path, monkeypatch: pytest.MonkeyPatch, **variables: str
) -> Iterator[Settings]:
    """Say where the stack lies and how patient it is; whatever was started is down at the end."""
    fixed = {
        "JOBFERRY_STACK__DIRECTORY": str(directory / "stack"),
        "JOBFERRY_STACK__START_SECONDS": "60",
        "JOBFERRY_TIMINGS__SOFT_STOP_SECONDS": "2",
    }
    for name, value in {**fixed, **variables}.items():
        monkeypatch.setenv(name, value)
    yield load_settings()
    record = read_record(Home.of(load_settings()))
    if record is not None and record.is_here:
        stack.down(load_settings())
