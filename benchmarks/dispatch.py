"""1,000 one-task jobs on Slurm: jobferry, its floor, and what its scripts and a login shell cost.

Each round measures, one after the other, on new but equal files:

- ours: submit to all results back, through the Local context, `login_shell` off;
- floor: the very `sbatch --array` commands that jobferry ran, with its very scripts in the directories it had prepared,
  until the queue is empty;
- naked: an array of nothing but `cd` and the command;
- login: as floor, with `#!/bin/bash -l` in the scripts.

Wrappers on PATH count every scheduler command of ours; commands that are less than 5 s apart are one look.
What a worker asks its scheduler once, when it starts, is before the run and not counted.
"""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from benchmarks import world
from benchmarks.figure import Figure, Goal, Log, Section
from benchmarks.work import COMMAND, Done, all_came, copies

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.testbed.slurm import SlurmCluster

_JOBS: Final = 1000
_ARRAY_LIMIT: Final = 10_000  # jobferry's own; this Slurm would take more
_APART_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 10.0


def measure(rounds: int, jobs: int) -> Section:
    """Measure all ways in turn."""
    jobs = jobs or _JOBS
    log = Log()
    with world.directory() as path, world.slurm() as slurm:
        for number in range(rounds):
            _round(path / f"r{number}", slurm, jobs, log)
    return Section(
        title=f"{jobs:,} one-task jobs on Slurm",
        command=f"python -m benchmarks.run --only dispatch --rounds {rounds}",
        about=(__doc__ or "").split("\n", 2)[2].strip(),
        figures=(*_times(log), *_commands(log, jobs)),
        raws=tuple(log.raws),
    )


def _round(path: Path, slurm: SlurmCluster, jobs: int, log: Log) -> None:
    slurm.reset()
    world.wait_for_quiet()
    done = copies(path, slurm, jobs)
    log.note("ours", done.seconds, "s")
    _note_commands(done, log)
    log.note("ledger of a finished job", done.bytes / jobs, "bytes")
    submits = slurm.wrappers.calls("sbatch")
    _as_prepared(path / "remote")
    log.note("floor", _until_empty(slurm, submits), "s")
    all_came(path / "remote", "*/t*/out", jobs)
    log.note("naked", naked(path / "naked", slurm, jobs), "s")
    _as_prepared(path / "remote")
    for script in path.glob("remote/*/.jobferry/*/batch/*.sh"):
        script.write_text(script.read_text().replace("#!/bin/bash\n", "#!/bin/bash -l\n", 1))
    log.note("login", _until_empty(slurm, submits), "s")
    shutil.rmtree(path)


def _note_commands(done: Done, log: Log) -> None:
    submits = sum(name == "sbatch" for _, name in done.calls)
    looks = _looks([at for at, name in done.calls if name != "sbatch"])
    log.note("sbatch commands", submits, "a run")
    log.note("looks", len(looks), "a run")
    log.note("looks that the rhythm allows", 1 + done.seconds // _LOOK_SECONDS, "a run")
    log.note("most other commands of a look", max(looks, default=0), "a look")
    print(f"  commands: {dict(Counter(name for _, name in done.calls))}", flush=True)


def _looks(times: Sequence[float]) -> list[int]:
    """Return how many commands each look has."""
    looks: list[int] = []
    last = -math.inf
    for at in sorted(times):
        if at - last > _APART_SECONDS:
            looks.append(0)
        looks[-1] += 1
        last = at
    return looks


def _as_prepared(remote: Path) -> None:
    """Bring the directories back to what they were when jobferry submitted."""
    for name in ("claim", "records", "done", "logs"):
        for folder in remote.glob(f"*/.jobferry/*/{name}"):
            shutil.rmtree(folder)
            folder.mkdir()
    for name in ("out", "log", "err"):
        for path in remote.glob(f"*/t*/{name}"):
            path.unlink()


def _until_empty(slurm: SlurmCluster, submits: list[tuple[str, ...]]) -> float:
    env = {**os.environ, "SLURM_CONF": str(slurm.directory / "slurm.conf")}
    begin = time.perf_counter()
    for arguments in submits:
        subprocess.run(["sbatch", *arguments], env=env, check=True, capture_output=True)
    while slurm.command("squeue", "-h", "-a", "-o", "%i"):
        time.sleep(0.2)
    return time.perf_counter() - begin


def naked(path: Path, slurm: SlurmCluster, jobs: int) -> float:
    """Return the seconds that an array of nothing but the command takes, until the queue is empty."""
    base = world.work(path, jobs)
    script = path / "naked.sh"
    script.write_text(f"#!/bin/bash\ncd {base}/t$SLURM_ARRAY_TASK_ID\n{COMMAND}\n")
    options = ("--parsable", f"--array=0-{jobs - 1}", "--output=/dev/null", "--ntasks-per-node=1")
    took = _until_empty(slurm, [(*options, str(script))])
    all_came(base, "*/out", jobs)
    return took


def _times(log: Log) -> list[Figure]:
    return [
        Figure(
            name="ours : floor",
            goal=Goal(bound=1.2, unit="×"),
            values=log.ratio("ours", "floor"),
            why="staging, the pass that renders and submits, and passes that read exit records share the processors "
            "with the jobs of this one machine; a cluster has its own.",
        ),
        Figure(
            name="floor : naked (what the scripts cost)",
            goal=Goal(bound=1.3, unit="×"),
            values=log.ratio("floor", "naked"),
            note="what Slurm itself does to start and end a job is most of both.",
        ),
        Figure(
            name="login : floor (what a login shell costs)",
            values=log.ratio("login", "floor"),
            unit="×",
            note="the rounds differ more than the shells do where the load average was high.",
        ),
        Figure(
            name="a finished job in the ledger",
            goal=Goal(bound=400, unit="bytes"),
            values=log.of("ledger of a finished job"),
            note="all keys of the run (header, specs, records, events) divided by its jobs.",
        ),
    ]


def _commands(log: Log, jobs: int) -> list[Figure]:
    arrays = math.ceil(jobs / _ARRAY_LIMIT)
    return [
        Figure(
            name="sbatch commands of a run",
            goal=Goal(bound=arrays, unit=""),
            values=log.of("sbatch commands"),
        ),
        Figure(
            name="other commands of a look",
            goal=Goal(bound=2, unit=""),
            values=log.of("most other commands of a look"),
        ),
        Figure(
            name="looks : looks that the rhythm allows (one each 10 s)",
            goal=Goal(bound=1, unit="×"),
            values=log.ratio("looks", "looks that the rhythm allows"),
        ),
    ]
