"""The example of two clusters: all results come back though one of them stops in between, and nothing stays behind."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from tests.testbed.processes import Process

pytestmark = pytest.mark.needs("slurm", "sshd", "valkey")

PROGRAM = Path(__file__).parents[2] / "examples" / "two_clusters.py"


@pytest.mark.parametrize(
    ("options", "what"),
    [([], "its scheduler is frozen"), (["--ssh"], "its ssh server is killed")],
    ids=["beside the workers", "over ssh"],
)
def test_two_clusters_share_what_one_of_them_leaves(
    short_path: Path, tmp_path: Path, options: list[str], what: str
) -> None:
    environment = {**os.environ, "TMPDIR": str(short_path)}
    argv = [sys.executable, str(PROGRAM), *options]
    process = Process(argv, log=tmp_path / "log", env=environment)
    try:
        assert process.wait(300) == 0, process.text()
    finally:
        process.stop(60)
    text = process.text()
    assert f"hpc2: {what}" in text
    (parts,) = re.findall(
        r"^finished; 40 results are here; finished: hpc1 (\d+), hpc2 (\d+)$", text, re.M
    )
    done = tuple(map(int, parts))
    assert sum(done) == 40
    assert all(done), "each has done something"
    assert not list(short_path.iterdir())
