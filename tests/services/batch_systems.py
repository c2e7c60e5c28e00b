"""A scheduler together with what it needs to be really used: its commands are run on this machine.

system = System(scheduler, tmp_path, user="root")
job = system.submit("exit 3")
system.ended(job).code
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from jobferry_common.names import SchedulerId, Token
from jobferry_common.schedulers.base import Completed, Facts, Listing, Phase, Seen, Submit
from tests.testbed.processes import run, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobferry_common.schedulers.base import Argv, Scheduler


@dataclass(kw_only=True)
class System:
    """One batch system, asked as a worker asks it."""

    scheduler: Scheduler
    directory: Path  #: where its jobs start
    user: str = "root"
    environment: Mapping[str, str] | None = None  #: None: that of the tests
    facts: Facts = field(init=False)
    _numbers: count[int] = field(default_factory=count, init=False)

    def __post_init__(self) -> None:
        for file in self.scheduler.files():
            path = Path(file.path)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.content)
        self.facts = self.scheduler.parse_facts(self.run(self.scheduler.facts()))

    def run(self, argv: Argv, **variables: str) -> Completed:
        """Run one command."""
        env = {**(os.environ if self.environment is None else self.environment), **variables}
        done = run(argv, env=env, limit=120)
        return Completed(
            argv=argv,
            exit_code=done.returncode,
            stdout=done.stdout,
            stderr=done.stderr,
        )

    def to_submit(self, body: str, *, size: int | None = None, token: str = "") -> Submit:
        """Write a script, and describe its submit."""
        number = next(self._numbers)
        script = self.directory / f"script {number}.sh"
        header = "\n".join(["#!/bin/bash", "#SBATCH --no-requeue"])
        script.write_text(f"{header}\ncd {shlex.quote(str(self.directory))} || exit\n{body}\n")
        return Submit(
            script=str(script),
            directory=str(self.directory),
            log=str(self.directory / f"log.{number}"),
            token=Token(token or f"jf.{uuid4().hex}"),
            name=f"job {number}",
            size=size,
        )

    def submit(self, body: str, *, size: int | None = None, token: str = "") -> SchedulerId:
        """Submit a script."""
        command = self.scheduler.submit(self.to_submit(body, size=size, token=token))
        return self.scheduler.parse_submit(self.run(command))

    def elements(self, array: SchedulerId, size: int) -> list[SchedulerId]:
        """Return the ids of all elements."""
        return [self.scheduler.element(array, index) for index in range(size)]

    def look(self) -> Listing:
        """Ask for all jobs."""
        done = self.run(self.scheduler.listing(self.user))
        return self.scheduler.parse_listing(done, self.facts.cluster)

    def phase(self, job: SchedulerId) -> Phase | None:
        """Return what is said of a job; None when it is unknown."""
        seen = self.look().jobs.get(job)
        return seen.phase if seen else None

    def running(self, *jobs: SchedulerId) -> None:
        """Wait until they run."""

        def start() -> bool:
            seen = [self.look().jobs.get(job) for job in jobs]
            return all(one and one.phase is Phase.RUNNING for one in seen)

        wait_until(start, f"{jobs} run")

    def ended(self, job: SchedulerId) -> Seen:
        """Wait until a job is told to be over, and return what is said of it."""
        found: list[Seen] = []

        def over() -> bool:
            seen = self.look().jobs.get(job)
            found[:] = [seen] if seen and seen.phase is Phase.ENDED else []
            return bool(found)

        wait_until(over, f"{job} ended")
        return found[0]

    def cancel(self, *jobs: SchedulerId) -> None:
        """Cancel jobs."""
        self.run(self.scheduler.cancel(jobs)).checked()

    def written(self, name: str) -> str:
        """Wait until a job has written a file in its directory, and return it."""
        path = self.directory / name
        wait_until(lambda: path.exists() and path.read_text().endswith("\n"), f"{name} is there")
        return path.read_text()
