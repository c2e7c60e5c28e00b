"""A bridge whose other side is on this machine."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.names import SchedulerId, Token
from jobferry_common.schedulers.base import Phase, Submit
from jobferry_common.schedulers.bridged import Bridged
from jobferry_worker.bridge.books import Books
from jobferry_worker.bridge.bridge import Bridge
from tests.testbed.bridges import FolderStorage, ProcessSystem
from tests.testbed.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jobferry_common.schedulers.base import Argv, Completed, Listing, Seen

SCHEDULER = Bridged(name="Anything", lines=lambda _: ())


@dataclass
class Crossing:
    """A bridge, asked as a worker asks it; `again()` is a worker that was killed and started anew."""

    tmp: Path
    storage: FolderStorage
    system: ProcessSystem
    now: float = 1000.0
    bridge: Bridge = field(init=False)
    numbers: count[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        self.base.mkdir()
        self.again()
        assert self.run(SCHEDULER.facts()).exit_code == 0

    @property
    def base(self) -> Path:
        """The run's directory."""
        return self.tmp / "5e7-1 it's"

    def again(self) -> None:
        """Forget what only the process knew."""
        books = Books(self.tmp / "home")
        grace = timedelta(seconds=180)
        self.bridge = Bridge(books, self.storage, self.system, grace=grace, clock=lambda: self.now)

    def run(self, argv: Argv, limit: float = 60) -> Completed:
        """Run a command."""
        return self.bridge.run(argv, limit=timedelta(seconds=limit))

    def to_submit(self, body: str, **changes: Any) -> Submit:
        """Write a script, and describe its submit."""
        number = next(self.numbers)
        script = self.base / f"script {number}.sh"
        script.write_text(f"#!/bin/bash\n{body}\n")
        script.chmod(0o755)
        given = {
            "script": str(script),
            "directory": str(self.base),
            "log": str(self.base / f"logs/{number}"),
            "token": Token(f"jf.5e7-1.{number:012}"),
            "name": "relax",
        }
        return Submit(**{**given, **changes})

    def submit(self, body: str, **changes: Any) -> SchedulerId:
        """Submit a script."""
        submit = self.to_submit(body, **changes)
        return SCHEDULER.parse_submit(self.run(SCHEDULER.submit(submit)))

    def listing(self) -> Listing:
        """Ask for all jobs."""
        done = self.run(SCHEDULER.listing(""))
        return SCHEDULER.parse_listing(done, json.loads(done.checked())["bridge"])

    def ended(self, job: SchedulerId) -> Seen:
        """Wait for the end of a job."""

        def over() -> bool:
            seen = self.listing().jobs.get(job)
            return seen is not None and seen.phase is Phase.ENDED

        wait_until(over, f"{job} has ended")
        return self.listing().jobs[job]

    def written(self, name: str) -> str:
        """Return a file that came back."""
        return (self.base / name).read_text()


@pytest.fixture
def crossing(tmp_path: Path) -> Iterator[Crossing]:
    """A bridge, ready."""
    system = ProcessSystem(tmp_path / "there")
    yield Crossing(tmp_path, FolderStorage(tmp_path / "store"), system)
    system.end()
