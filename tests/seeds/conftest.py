"""A working directory as the programs of DPDispatcher's documents expect it, on a machine without any broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobferry import stack
from jobferry_common.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DIRS = ("dir1", "dir2", "dir3", "dir4")


@pytest.fixture
def place(short_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory; the embedded stack that programs start is stopped at the end."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JOBFERRY_STACK__DIRECTORY", str(short_path / "stack"))
    monkeypatch.setenv("JOBFERRY_STACK__START_SECONDS", "60")
    yield tmp_path
    stack.down(load_settings())


@pytest.fixture
def project(place: Path) -> Path:
    """A directory with a common file and the inputs of four tasks."""
    return inputs(place / "parent_dir")


def inputs(base: Path) -> Path:
    """Make a work base with a common file and the inputs of four tasks."""
    for name in DIRS:
        (base / name).mkdir(parents=True)
        (base / name / "example.txt").write_text(f"example of {name}\n")
    (base / "graph.pb").write_text("graph\n")
    return base
