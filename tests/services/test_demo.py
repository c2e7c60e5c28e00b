"""The demonstration of `make demo`: it shows what it promises, and nothing of it stays behind, ended early or not."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobferry.stack.home import Home
from jobferry.stack.record import is_alive, read_record
from tests.testbed.processes import Process, lives, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.needs("valkey")

PROGRAM = Path(__file__).parents[2] / "examples" / "demo.py"


@pytest.fixture
def demo(short_path: Path, tmp_path: Path) -> Iterator[Process]:
    """The demonstration, which makes its directory in `short_path`."""
    environment = {**os.environ, "TMPDIR": str(short_path)}
    process = Process([sys.executable, str(PROGRAM)], log=tmp_path / "log", env=environment)
    yield process
    process.stop(60)


def test_the_demonstration_shows_work_a_retry_and_results(demo: Process, short_path: Path) -> None:
    assert demo.wait(120) == 0, demo.text()
    text = demo.text()
    assert "attempt 1 failed with exit code 3: it is tried again" in text
    assert "All 4 jobs finished" in text
    results = text.partition("The words that the tasks counted:")[2].partition("Stopping")[0]
    assert len(re.findall(r"^  \w+ +\d+$", results, re.M)) == 8
    assert len(re.findall(r"^  \S*jobferry \w+ .*   \w", text, re.M)) == 3, "commands to go on with"
    assert not list(short_path.iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_demonstration_that_is_ended_early_leaves_nothing(
    demo: Process, short_path: Path, number: signal.Signals
) -> None:
    wait_until(lambda: "attempt 1 is submitted" in demo.text(), "a job was submitted")
    (directory,) = short_path.iterdir()
    home = Home.at(directory / "stack")
    assert is_alive(home)
    record = read_record(home)
    assert record
    demo.signal(number)
    assert demo.wait() == 128 + number
    assert "Traceback" not in demo.text()
    assert not list(short_path.iterdir())
    assert not lives(record.pid)
