"""Output that cannot be printed: a full disk is told in one line, a reader that left in none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).with_name("jobferry")
FULL = Path("/dev/full")


def bash(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command line in which $JOBFERRY is the program."""
    env = {**os.environ, "JOBFERRY": str(BIN), **environment}
    argv = ["bash", "-c", command]
    return subprocess.run(argv, capture_output=True, text=True, check=True, env=env)


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", ["--help", "--version", "config --json"])
def test_a_full_disk_is_told_in_one_line(arguments: str, unbuffered: str) -> None:
    done = bash(f'"$JOBFERRY" {arguments} > /dev/full; echo $?', PYTHONUNBUFFERED=unbuffered)
    assert done.stdout == "1\n"
    assert done.stderr == "jobferry: the output cannot be written: No space left on device\n"


@pytest.mark.parametrize("arguments", ["--help", "config", "config --json"])
def test_a_reader_that_has_left_is_not_told(arguments: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    argv = [str(BIN), *arguments.split()]
    with os.fdopen(writer, "wb") as pipe:
        done = subprocess.run(argv, stdout=pipe, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "jobferry:" not in done.stderr


def test_a_closed_output_is_no_hindrance() -> None:
    done = bash('"$JOBFERRY" config >&- 2>&-; echo $?')
    assert (done.stdout, done.stderr) == ("0\n", "")
