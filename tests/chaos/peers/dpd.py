"""DPDispatcher 1.1.0 on Slurm, with its LocalContext: the process that runs its submission is killed, and run again.

outcome = measure(directory, slurm, jobs=500, kills=20, seed=7)
"""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.peer import install
from tests.chaos.peers.drive import Driven, Work, counted, killed_again_and_again
from tests.testbed.processes import wait_until

if TYPE_CHECKING:
    from tests.chaos.peers.drive import Outcome
    from tests.testbed.slurm import SlurmCluster

_LIMIT_SECONDS: Final = 900.0


def measure(
    directory: Path, slurm: SlurmCluster, *, jobs: int, kills: int, seed: int, naps: float
) -> Outcome:
    """Run it, and count."""
    work = Work(directory / "dpdispatcher", jobs=jobs, seed=seed, naps=naps)
    python = install(work.directory)
    (work.directory / "remote").mkdir()
    given = work.directory / "given.json"
    given.write_text(
        json.dumps({"commands": work.commands(), "remote": str(work.directory / "remote")})
    )
    env = {
        **os.environ,
        "SLURM_CONF": str(slurm.directory / "slurm.conf"),
        "HOME": str(work.directory),
    }
    script = Path(__file__).with_name("dpd_script.py")
    begin = time.monotonic()
    argv = [str(python), str(script), str(given)]
    with Driven(argv, env=env, cwd=work.directory) as driven:
        killed_again_and_again(driven, random.Random(seed), kills, _LIMIT_SECONDS)
    seconds = time.monotonic() - begin
    ended = "ended by itself" if driven.code == 0 else f"did not end in {_LIMIT_SECONDS:.0f} s"
    wait_until(lambda: not slurm.queue(), "Slurm is done", limit=_LIMIT_SECONDS)
    return counted("DPDispatcher 1.1.0", work, kills=driven.kills, seconds=seconds, note=ended)
