"""What a bridge knows of its jobs: a small file each, below its home on the worker's machine.

    <home>/id                 which bridge this is
    <home>/jobs/<id>          a `Job`, as JSON; only who carries it writes it
    <home>/jobs/<id>.cancel   somebody wants it to end
    <home>/jobs/<id>.forget   nobody will ask for it again: it goes when it has ended
    <home>/gone/<id>          a job that is forgotten, until its archives are removed from the storage
    <home>/carry/<id>         the lock of who carries it
    <home>/work/<id>/         archives on their way

>>> books = Books(Path("/scratch/root/.jobferry/bridge"))
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jobferry_common.states import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

_CANCEL: Final = ".cancel"
_FORGET: Final = ".forget"


class Step(StrEnum):
    """How far a job has come."""

    ACCEPTED = "accepted"  #: its files are here
    STORED = "stored"  #: its archive is in the storage
    STARTING = "starting"  #: the system may have it
    STARTED = "started"  #: the system has it, as one of `ids`
    ENDED = "ended"  #: its results are here, or there are none


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job of a bridge."""

    id: str  #: the token: the same submit makes the same job
    name: str  #: as a user calls it
    directory: str  #: the run's own, on the worker's machine
    script: str  #: below it
    log: str  #: for what the script prints; below `directory`, too
    header: tuple[str, ...] = ()  #: what the scheduler's module has to say to the system
    step: Step = Step.ACCEPTED
    since: float  #: Unix time of the last step
    digest: str = ""  #: SHA-256 of its archive
    ids: tuple[str, ...] = ()  #: what the system calls it; several where a start got no answer
    outcome: Outcome | None = None  #: with ENDED
    code: int | None = None
    reason: str = ""
    refused: bool = False  #: with ENDED: the system would not take it

    @property
    def token(self) -> str:
        """What the system keeps with it."""
        return self.id

    @property
    def label(self) -> str:
        """A name for the system that ends with the token: letters, digits, `.`, `_` and `-` alone."""
        clean = "".join(one if one.isascii() and one.isalnum() else "_" for one in self.name)
        return f"{clean[:30]}.{self.id}"


class Books:
    """The jobs of a bridge; every call may be made by another thread or process."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def open(self) -> str:
        """Make the home ready; return which bridge this is."""
        for name in ("jobs", "gone", "carry", "work"):
            (self.home / name).mkdir(parents=True, exist_ok=True)
        part = self.home / f".id-{os.getpid()}-{secrets.token_hex(4)}"
        if not (self.home / "id").exists():
            part.write_text(secrets.token_hex(6))
            with suppress(FileExistsError):
                os.link(part, self.home / "id")
            part.unlink()
        return self.who()

    def who(self) -> str:
        """Return which bridge this is; "" before `open`."""
        try:
            return (self.home / "id").read_text()
        except FileNotFoundError:
            return ""

    def add(self, job: Job) -> bool:
        """Take a job; False where it is there already."""
        part = self._written(job)
        try:
            os.link(part, self._file(job.id))
        except FileExistsError:
            return False
        finally:
            part.unlink()
        return True

    def save(self, job: Job) -> Job:
        """Write a job anew; return it."""
        self._written(job).replace(self._file(job.id))
        return job

    def read(self, key: str) -> Job | None:
        """Return a job; None where it is forgotten, or never was."""
        try:
            return _job(json.loads(self._file(key).read_text()))
        except FileNotFoundError:
            return None

    def all(self) -> list[Job]:
        """Return every job, by the time of its last step."""
        names = [name for name in os.listdir(self.home / "jobs") if not _is_mark(name)]  # noqa: PTH208
        found = [job for name in names if (job := self.read(name))]
        return sorted(found, key=lambda job: (job.since, job.id))

    def wish_end(self, key: str) -> None:
        """Note that somebody wants a job to end."""
        self._file(key, _CANCEL).touch()

    def is_unwanted(self, key: str) -> bool:
        """Tell whether somebody wants a job to end."""
        return self._file(key, _CANCEL).exists()

    def wish_forgotten(self, key: str) -> None:
        """Note that nobody will ask for a job again."""
        self._file(key, _FORGET).touch()

    def is_forgotten(self, key: str) -> bool:
        """Tell whether nobody will ask for a job again."""
        return self._file(key, _FORGET).exists()

    def bury(self, key: str) -> None:
        """Take a job off the books; its archives are still to be removed."""
        shutil.rmtree(self.home / "work" / key, ignore_errors=True)
        with suppress(FileNotFoundError):
            self._file(key).replace(self.home / "gone" / key)
        for mark in (_CANCEL, _FORGET):
            self._file(key, mark).unlink(missing_ok=True)

    def buried(self) -> list[Job]:
        """Return jobs whose archives are still to be removed."""
        found = []
        for path in (self.home / "gone").iterdir():
            with suppress(FileNotFoundError):
                found.append(_job(json.loads(path.read_text())))
        return found

    def removed(self, key: str) -> None:
        """Note that nothing is stored of a job any more."""
        for name in ("gone", "carry"):
            (self.home / name / key).unlink(missing_ok=True)

    def work(self, key: str) -> Path:
        """Return an empty directory for a job's archives."""
        path = self.home / "work" / key
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path

    @contextmanager
    def carrying(self, key: str) -> Iterator[bool]:
        """Be the only one who carries a job; False where somebody else does. It ends with the process."""
        with (self.home / "carry" / key).open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    def _file(self, key: str, mark: str = "") -> Path:
        return self.home / "jobs" / f"{key}{mark}"

    def _written(self, job: Job) -> Path:
        part = self.home / "jobs" / f".{job.id}.{secrets.token_hex(4)}"
        with part.open("w") as file:
            json.dump(asdict(job), file)
            file.flush()
            os.fsync(file.fileno())
        return part


def stepped(job: Job, step: Step, now: float, **changes: Any) -> Job:
    """Return a job that has come one step further."""
    return replace(job, step=step, since=now, **changes)


def _is_mark(name: str) -> bool:
    return name.startswith(".") or name.endswith((_CANCEL, _FORGET))


def _job(data: dict[str, Any]) -> Job:
    known = {field.name for field in fields(Job)}
    given = {name: value for name, value in data.items() if name in known}
    outcome = given.get("outcome")
    return Job(
        **{
            **given,
            "step": Step(given["step"]),
            "header": tuple(given["header"]),
            "ids": tuple(given["ids"]),
            "outcome": Outcome(outcome) if outcome else None,
        }
    )
