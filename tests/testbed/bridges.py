"""The other side of a bridge, on this machine: a folder as storage, and processes in directories of their own as jobs.

storage, system = FolderStorage(tmp_path / "store"), ProcessSystem(tmp_path / "there")
bridge = Bridge(Books(tmp_path / "home"), storage, system)
system.end()
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jobferry_common.errors import CommandFailed, HostUnreachable
from jobferry_common.killpoints import trapped
from jobferry_common.schedulers.base import Phase
from jobferry_common.states import Outcome
from jobferry_worker.bridge.base import Said

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from jobferry_worker.bridge.books import Job


@dataclass
class FolderStorage:
    """A `Storage` in a directory; `away` makes it unreachable."""

    place: Path
    name: str = "a folder"
    away: bool = False

    def put(self, job: Job, file: Path) -> None:
        """Copy the archive there."""
        self._must_answer()
        self._of(job).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, self._of(job) / "archive")

    def get(self, job: Job, file: Path) -> bool:
        """Copy the result from there."""
        self._must_answer()
        if not (self._of(job) / "result").exists():
            return False
        shutil.copyfile(self._of(job) / "result", file)
        return True

    def delete(self, job: Job) -> None:
        """Remove the job's directory."""
        self._must_answer()
        shutil.rmtree(self._of(job), ignore_errors=True)

    def shell(self, job: Job) -> str:
        """Return functions that copy."""
        place = shlex.quote(str(self._of(job)))
        return (
            f'jf_get() {{ cp {place}/archive "$1"; }}\n'
            f'jf_put() {{ cp "$1" {place}/part && mv -n {place}/part {place}/result; }}'
        )

    def _of(self, job: Job) -> Path:
        return self.place / job.id

    def _must_answer(self) -> None:
        if self.away:
            msg = "the folder does not answer"
            raise HostUnreachable(msg)


@dataclass
class ProcessSystem:
    """A `System` whose jobs are processes; `errors` are raised by the next starts, `lies` after they were made."""

    place: Path
    name: str = "processes"
    errors: list[Exception] = field(default_factory=list)
    lies: list[Exception] = field(default_factory=list)
    hidden: bool = False  #: its listing is empty
    away: bool = False
    jobs: dict[str, tuple[str, subprocess.Popen[bytes]]] = field(default_factory=dict)

    def facts(self) -> str:
        """Return a version."""
        self._must_answer()
        return "1.0"

    def start(self, job: Job, bootstrap: Path) -> str:
        """Start a process in a directory of its own."""
        if self.errors:
            raise self.errors.pop(0)
        identity = f"p{len(self.jobs)}"
        directory = self.place / identity
        directory.mkdir(parents=True)
        script = shutil.copy(bootstrap, directory / "script")
        with (directory / "stdout").open("wb") as out:
            child = subprocess.Popen(
                ["bash", str(script)],
                cwd=directory,
                env={**os.environ, "SYSTEM_ID": identity},
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.jobs[identity] = (job.token, child)
        if self.lies:
            raise self.lies.pop(0)
        return identity

    def look(self, jobs: Sequence[Job]) -> Sequence[Said]:
        """Return all of them."""
        del jobs
        self._must_answer()
        return [] if self.hidden else [self._said(key) for key in self.jobs]

    def stop(self, ids: Sequence[str]) -> None:
        """End whole groups."""
        for key in ids:
            with suppress(ProcessLookupError):
                os.killpg(self.jobs[key][1].pid, signal.SIGKILL)

    def owner(self) -> str:
        """Return the variable with the id."""
        return '"${SYSTEM_ID-}"'

    def end(self) -> None:
        """Leave nothing behind."""
        self.stop(list(self.jobs))
        for _, child in self.jobs.values():
            child.wait()

    def _said(self, key: str) -> Said:
        token, child = self.jobs[key]
        code = child.poll()
        if code is None:
            return Said(id=key, token=token, phase=Phase.RUNNING)
        outcome = Outcome.SUCCEEDED if code == 0 else Outcome.FAILED
        return Said(id=key, token=token, phase=Phase.ENDED, outcome=outcome, code=code)

    def _must_answer(self) -> None:
        if self.away:
            raise CommandFailed(("processes",), 1, "nobody answers")


@contextmanager
def crash_at(point: str) -> Iterator[list[str]]:
    """Let the first thread that passes a point go no further."""
    passed: list[str] = []

    def trap(here: str) -> None:
        if here == point and not passed:
            passed.append(here)
            raise KeyboardInterrupt(here)

    with trapped(trap):
        yield passed
