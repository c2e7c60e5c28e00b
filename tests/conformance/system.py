"""A batch system as the suite meets it, real or fake: its commands are run on this machine.

system = System(scheduler=scheduler, directory=tmp_path)
job = system.submit("exit 3")
system.ended(job).code
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from jobferry_common.models.resources import Resources
from jobferry_common.names import SchedulerId, Token
from jobferry_common.schedulers.base import Completed, Facts, Listing, Phase, Seen, Submit
from tests.testbed.processes import run, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jobferry_common.schedulers.base import Argv, Scheduler
    from jobferry_worker.hosts.base import Host


@dataclass(kw_only=True)
class System:
    """One batch system, asked as a worker asks it."""

    scheduler: Scheduler
    directory: Path  #: where its jobs start
    user: str = "root"
    environment: Mapping[str, str] | None = None  #: None: that of the tests
    bad_queue: str | None = "nosuch"  #: a queue that is not there; None: it has no queues
    hold_flag: str | None = None  #: the header line that keeps a job from starting
    time_limit: str | None = None  #: the shortest that it keeps; None: it keeps none
    forget: Callable[[SchedulerId], None] | None = None  #: makes a job vanish without a trace
    element_log: str = (
        "{}.{}"  #: what an array's element prints goes to: the log of the submit, its index
    )
    first: int = 0  #: the index of an array's first element, as its log has it
    report: bool = False  #: the scheduler writes into a log what it has to say of the job
    slots: int = 32  #: one-core jobs that run at once
    arrays: bool = True
    nodes: int = 2  #: what a job may ask for, at least
    many: int = 500  #: jobs that are told at once: fewer where each of them costs many commands
    host: Host | None = None  #: runs the commands; None: this machine
    #: where its scripts and logs are, if no job sees that directory; jobs tell by `directory` all the same
    apart: Path | None = None
    resources: Resources = field(default_factory=Resources.default)
    facts: Facts = field(init=False)
    _since: datetime = field(default_factory=lambda: datetime.now(UTC), init=False)
    _numbers: count[int] = field(default_factory=count, init=False)
    _submitted: list[SchedulerId] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        for file in self.scheduler.files():
            path = Path(file.path)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.content)
        self.facts = self.scheduler.parse_facts(self.run(self.scheduler.facts()))

    @property
    def home(self) -> Path:
        """The directory of a submit: scripts and logs are there."""
        return self.apart or self.directory

    def run(self, argv: Argv, **variables: str) -> Completed:
        """Run one command."""
        if self.host:
            return self.host.run(argv, limit=timedelta(minutes=2))
        env = {**(os.environ if self.environment is None else self.environment), **variables}
        done = run(argv, env=env, limit=120)
        return Completed(
            argv=argv,
            exit_code=done.returncode,
            stdout=done.stdout,
            stderr=done.stderr,
        )

    def to_submit(
        self, body: str, *, size: int | None = None, token: str = "", **resources: object
    ) -> Submit:
        """Write a script, and describe its submit; `resources` are fields to change."""
        number = next(self._numbers)
        script = self.home / f"script {number}.sh"
        asked = Resources.model_validate({**self.resources.serialize(), **resources})
        header = list(self.scheduler.header(asked))
        lines = ["#!/bin/bash", *header, f"cd {shlex.quote(str(self.directory))} || exit", body, ""]
        script.write_text("\n".join(lines))
        script.chmod(0o755)
        return Submit(
            script=str(script),
            directory=str(self.home),
            log=str(self.home / f"log.{number}"),
            token=Token(token or a_token()),
            name=f"job {number}",
            size=size,
            header=header,
        )

    def submit(
        self, body: str, *, size: int | None = None, token: str = "", **resources: object
    ) -> SchedulerId:
        """Submit a script."""
        submit = self.to_submit(body, size=size, token=token, **resources)
        job = self.scheduler.parse_submit(self.run(self.scheduler.submit(submit)))
        self._submitted.append(job)
        return job

    def submit_many(self, body: str, number: int) -> list[SchedulerId]:
        """Submit equal jobs, as an array where there are arrays."""
        if self.arrays:
            return self.elements(self.submit(body, size=number), number)
        return [self.submit(body) for _ in range(number)]

    def end(self) -> None:
        """Leave no job behind, whatever became of the test."""
        (self.directory / "go").touch()
        if self._submitted:
            self.cancel(*self._submitted)

    def elements(self, array: SchedulerId, size: int) -> list[SchedulerId]:
        """Return the ids of all elements."""
        return [self.scheduler.element(array, index) for index in range(size)]

    def look(self) -> Listing:
        """Ask for all jobs."""
        done = self.run(self.scheduler.listing(self.user))
        return self.scheduler.parse_listing(done, self.facts.cluster)

    def past(self, *jobs: SchedulerId) -> Mapping[SchedulerId, Seen]:
        """Ask the history, if there is one."""
        if not self.facts.history:
            return {}
        done = self.run(self.scheduler.history(jobs, self._since))
        return self.scheduler.parse_history(done, self.facts.cluster).jobs

    def seen(self, job: SchedulerId) -> Seen | None:
        """Return what is said of a job, in the listing or else in the history."""
        return self.look().jobs.get(job) or self.past(job).get(job)

    def phase(self, job: SchedulerId) -> Phase | None:
        """Return what the listing says of a job; None when it does not know it."""
        seen = self.look().jobs.get(job)
        return seen.phase if seen else None

    def running(self, *jobs: SchedulerId) -> None:
        """Wait until they run."""

        def start() -> bool:
            told = self.look().jobs
            seen = [told.get(job) for job in jobs]
            return all(one and one.phase is Phase.RUNNING for one in seen)

        wait_until(start, f"{jobs} run")

    def ended(self, job: SchedulerId) -> Seen:
        """Wait until a job is told to be over, and return what is said of it."""
        found: list[Seen] = []

        def over() -> bool:
            seen = self.seen(job)
            found[:] = [seen] if seen and seen.phase is Phase.ENDED else []
            return bool(found)

        wait_until(over, f"{job} ended", limit=150)
        return found[0]

    def cancel(self, *jobs: SchedulerId) -> Completed:
        """Cancel jobs; its exit code is of no account: what they were may have ended meanwhile."""
        return self.run(self.scheduler.cancel(jobs))

    def written(self, name: str) -> str:
        """Wait until a job has written a file in its directory, and return it."""
        paths = (self.directory / name, self.home / name)

        def read() -> str:
            return next((path.read_text() for path in paths if path.exists()), "")

        def is_there() -> bool:
            if self.apart and not read():
                self.look()  # what a job wrote elsewhere is brought by a listing
            return read().endswith("\n")

        wait_until(is_there, f"{name} is there", limit=150)
        return read()

    def written_within(self, name: str, text: str) -> None:
        """Wait until a file holds a text, whatever stands around it."""
        wait_until(lambda: text in self.written(name), f"{text!r} is in {name}")


def a_token() -> Token:
    """Return a token that no job has, in the form of real ones."""
    return Token(f"jf.{uuid4().hex[:12]}-1.{uuid4().hex[:12]}")
