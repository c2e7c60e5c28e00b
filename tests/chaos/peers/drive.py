"""Kills at random moments, and the count of what the tasks logged and left: alike for all.

outcome = counted("DPDispatcher", work, kills=20, seconds=81.0)
"""

from __future__ import annotations

import contextlib
import math
import os
import shlex
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from tests.chaos.batches import Batch
from tests.chaos.checker import Interval, intervals, overlapping
from tests.chaos.task import command, expected, write_inputs, write_script

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence
    from pathlib import Path

#: between a start and its kill: on a busy machine a start alone takes some of it
LEAST_SECONDS: Final = 2.0
MOST_SECONDS: Final = 12.0
#: ends of its own, with an error, after which it is not begun again
_ERRORS: Final = 20


class Work:
    """So many equal tasks, their log and their results."""

    def __init__(self, directory: Path, *, jobs: int, seed: int, naps: float) -> None:
        self.directory = directory
        self.seed = seed
        self.batch = Batch(
            number=0, place="peer", tasks=jobs, group=1, naps=naps, cancelled=False, cleaned=False
        )
        self.base = directory / "work"
        self.log, self.script = directory / "tasks.log", directory / "task.sh"
        directory.mkdir(parents=True)
        write_script(self.script, self.log)
        write_inputs(self.base, seed, self.batch)
        self.log.touch()

    def commands(self) -> list[str]:
        """Return the command of each task."""
        return [
            f"bash -c {shlex.quote(command(self.script, self.batch, task))}"
            for task in range(self.batch.tasks)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of it."""

    system: str
    jobs: int
    kills: int
    seconds: float
    lost: int  #: tasks that were never begun
    doubled: int  #: tasks that were begun more than once
    overlapped: int  #: tasks that ran twice at the same time
    missing: int  #: results that are not there, or wrong
    note: str = ""

    def row(self) -> str:
        """Return it as a row of the table."""
        numbers = (self.jobs, self.kills, self.lost, self.doubled, self.overlapped, self.missing)
        return f"| {self.system} | {' | '.join(f'{number:,}' for number in numbers)} |"


def _ended_with(executions: Sequence[Interval], deaths: Sequence[float]) -> list[Interval]:
    """Let what never told its end have ended at the next death of all that its worker had started."""
    ends = [
        min((at for at in deaths if at >= one.start), default=one.end)
        if math.isinf(one.end)
        else one.end
        for one in executions
    ]
    return [one._replace(end=end) for one, end in zip(executions, ends, strict=True)]


def counted(
    system: str,
    work: Work,
    *,
    kills: int,
    seconds: float,
    deaths: Sequence[float] = (),
    note: str = "",
) -> Outcome:
    """Count what the tasks logged and left.

    Args:
        system: what did the work.
        work: the tasks.
        kills: how often who drives it was killed.
        seconds: what it took.
        deaths: Unix times at which tasks that were running were killed, too.
        note: a word on the setting.
    """
    ran = {key: _ended_with(found, deaths) for key, found in intervals(work.log).items()}
    tasks = range(work.batch.tasks)
    keys = [work.batch.key(task) for task in tasks]
    results = [work.base / f"t{task}" / "out" for task in tasks]
    wanted = [expected(work.seed, work.batch, task) for task in tasks]
    return Outcome(
        system=system,
        jobs=work.batch.tasks,
        kills=kills,
        seconds=seconds,
        lost=sum(key not in ran for key in keys),
        doubled=sum(len(ran.get(key, ())) > 1 for key in keys),
        overlapped=sum(bool(overlapping(ran.get(key, ()))) for key in keys),
        missing=sum(
            not path.exists() or path.read_text() != text
            for path, text in zip(results, wanted, strict=True)
        ),
        note=note,
    )


class Driven:
    """A process in a session of its own, that is killed and begun again."""

    def __init__(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> None:
        self._argv, self._env, self._cwd = list(argv), dict(env), cwd
        self._popen: subprocess.Popen[bytes] | None = None
        self.kills = 0
        #: Unix times at which all that it had started in its session was killed, too
        self.deaths: list[float] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End it with all that it started; that is no kill that counts."""
        if self._popen:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGKILL)
            self._popen.wait()

    def start(self) -> None:
        """Begin it."""
        with (self._cwd / "driven.log").open("ab") as log:
            self._popen = subprocess.Popen(
                self._argv,
                env=self._env,
                cwd=self._cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._popen.poll() if self._popen else None

    def kill(self, *, group: bool) -> None:
        """End it with SIGKILL, alone or with all that it started in its session."""
        if self._popen is None:
            return
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(self._popen.pid, signal.SIGKILL)
        self._popen.wait()
        self.kills += 1
        self.deaths += [time.time()] if group else []


def killed_again_and_again(driven: Driven, dice: random.Random, kills: int, limit: float) -> None:
    """Begin a process and kill it, so many times, then let it end.

    A process that ended by itself with an error is begun again, too.
    """
    driven.start()
    errors = 0
    end = time.monotonic() + limit
    kill_at = time.monotonic() + dice.uniform(LEAST_SECONDS, MOST_SECONDS)
    while time.monotonic() < end:
        if driven.code == 0:
            return
        if driven.code is not None:
            errors += 1
            if errors > _ERRORS:
                return
            time.sleep(LEAST_SECONDS)
            driven.start()
        if driven.kills < kills and time.monotonic() >= kill_at:
            driven.kill(group=dice.random() < 0.5)
            driven.start()
            kill_at = time.monotonic() + dice.uniform(LEAST_SECONDS, MOST_SECONDS)
        time.sleep(0.05)
