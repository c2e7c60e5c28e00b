"""Commands of the long-lived shell get as many names at once as the far side's limits allow."""

from __future__ import annotations

import subprocess
from importlib.resources import files
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from pathlib import Path

_MANY: Final = 3000
FAR: Final = files("jobferry_worker.hosts.ssh").joinpath("far.sh").read_text()


@pytest.mark.parametrize("stack", ["8192", "256"])
def test_names_that_do_not_fit_in_one_command_go_in_several(tmp_path: Path, stack: str) -> None:
    """A process with a small stack takes 128 KiB of arguments, which these are too long for."""
    for number in range(_MANY):
        (tmp_path / f"{number:0150d}").touch()
    count = 'calls=0; command() { calls=$((calls + 1)); builtin command "$@"; }'
    script = f'{FAR}\nulimit -Ss {stack}\n{count}\njf_remove "$1"/*; echo "$? $calls" >&8'
    argv = ["bash", "-c", script, "bash", str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert not list(tmp_path.iterdir())
    code, calls = done.stdout.split()
    assert code == "0"
    assert int(calls) == (1 if stack == "8192" else 1 + -(-_MANY // 400))
