"""The example of two clusters: all results come back though one of them stops in between, and nothing stays behind."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from tests.testbed.processes import Process

pytestmark = pytest.mark.needs("slurm", "valkey")

PROGRAM = Path(__file__).parents[2] / "examples" / "two_clusters.py"


def test_two_clusters_share_what_one_of_them_leaves(short_path: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(short_path)}
    process = Process([sys.executable, str(PROGRAM)], log=tmp_path / "log", env=environment)
    try:
        assert process.wait(300) == 0, process.text()
    finally:
        process.stop(60)
    text = process.text()
    assert "hpc2: its scheduler is frozen" in text
    (parts,) = re.findall(
        r"^finished; 40 results are here; finished: hpc1 (\d+), hpc2 (\d+)$", text, re.M
    )
    done = tuple(map(int, parts))
    assert sum(done) == 40
    assert all(done), "each has done something"
    assert not list(short_path.iterdir())
