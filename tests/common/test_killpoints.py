"""Points at which a test ends a process: they are named, counted, and every one stands in the code."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from jobferry_common.killpoints import BEAT, BRIDGE, CLOUD, MOVES, PASS, PRODUCER, RECOVER, deadly

ROOT: Final = Path(__file__).parents[2]
ALL: Final = (*PASS, *MOVES, *BRIDGE, *CLOUD, *RECOVER, *PRODUCER, *BEAT)


def passed(part: str) -> set[str]:
    """Return the points that the code of a part passes."""
    sources = (path.read_text() for path in (ROOT / part).rglob("*.py"))
    return {point for text in sources for point in re.findall(r'kill_here\("([^"]+)"\)', text)}


def test_every_point_has_one_name_and_stands_in_the_code() -> None:
    assert len(set(ALL)) == len(ALL)
    assert passed("worker") == {*PASS, *MOVES, *BRIDGE, *CLOUD, *RECOVER, *BEAT}
    assert passed("producer") == set(PRODUCER)


def test_no_points_are_no_trap() -> None:
    assert deadly("") is None


def test_the_first_of_several_points_is_the_end_and_is_noted(tmp_path: Path) -> None:
    log = tmp_path / "hits"
    code = (
        "from jobferry_common.killpoints import kill_here\n"
        "for point in ('a', 'b', 'a', 'b'): print(point, flush=True), kill_here(point)"
    )
    env = {"JOBFERRY_KILL_AT": "a:2,b:3", "JOBFERRY_KILL_LOG": str(log)}
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == ["a", "b", "a"]
    assert log.read_text() == "a\n"
