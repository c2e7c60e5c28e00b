"""What a job leaves behind: its claim and its exit record.

    jobferry 1
    attempt 17.3
    id 4711_5
    provisional 0
    started 1700000000.123456
    ended 1700000002.5
    reason
    task 34 0 1700000000.2 1700000001.0
    task 35 0 1700000000.2 1700000002.4
    missing out.txt
    end

Text after `reason` and `missing` has its backslashes and newlines escaped. `end` proves that all of it is there.
A claim is one line, `job <scheduler id>` or `worker <name>`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import UnreadableOutput
from jobferry_common.names import AttemptKey, SchedulerId

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIRST: Final = "jobferry 1"
_FIELDS: Final = ("attempt", "id", "provisional", "started", "ended", "reason")
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEnd:
    """How one task ended."""

    task: int  #: index in job order
    code: int  #: exit code; 128 + n after signal n
    started: float  #: Unix time in seconds
    ended: float
    missing: tuple[str, ...] = ()  #: backward patterns without a file, although the code is 0

    @property
    def ok(self) -> bool:
        """True when the task succeeded and left all of its backward files."""
        return not self.code and not self.missing


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitRecord:
    """How an attempt ended, in the words of its own script."""

    attempt: AttemptKey
    id: SchedulerId
    provisional: bool  #: written on a signal: final only once the scheduler has let go of the job
    reason: str = ""  #: why it did not run to its end: a missing module, a signal
    started: float
    ended: float
    #: in the order they ended; those never run are not in it
    tasks: tuple[TaskEnd, ...] = ()

    @property
    def first_failure(self) -> TaskEnd | None:
        """The failed task that ended first."""
        return next((task for task in self.tasks if not task.ok), None)

    def succeeded(self, tasks: int) -> bool:
        """True when all of so many tasks succeeded."""
        return sum(task.ok for task in self.tasks) == tasks


@dataclass(frozen=True, slots=True)
class WorkerClaim:
    """A claim that a worker made, so that no job can own the attempt any more."""

    worker: str


def worker_claim(worker: str) -> bytes:
    """Return what a worker writes into a claim."""
    return f"worker {worker}\n".encode()


def parse_claim(content: bytes) -> SchedulerId | WorkerClaim:
    """Read who owns an attempt; an empty id when the owner died while it wrote its claim."""
    kind, _, who = content.decode("utf-8", "replace").rstrip("\n").partition(" ")
    return WorkerClaim(who) if kind == "worker" else SchedulerId(who)


def parse_record(content: bytes) -> ExitRecord:
    """Read an exit record.

    Raises:
        UnreadableOutput: it is not one, or not all of it is there.
    """
    lines = content.decode("utf-8", "surrogateescape").split("\n")
    head = len(_FIELDS) + 1
    if lines[0] != _FIRST or lines[-2:] != ["end", ""]:
        msg = f"exit record: expected {_FIRST!r} … 'end', got {content[:80]!r}"
        raise UnreadableOutput(msg)
    try:
        return _record(dict(_fields(lines[1:head])), lines[head:-2])
    except (ValueError, KeyError, IndexError) as error:
        msg = f"exit record: {error!r} in {content[:200]!r}"
        raise UnreadableOutput(msg) from error


def _fields(lines: list[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        name, _, text = line.partition(" ")
        yield name, text


def _record(fields: dict[str, str], lines: list[str]) -> ExitRecord:
    job, _, attempt = fields["attempt"].partition(".")
    return ExitRecord(
        attempt=AttemptKey(int(job), int(attempt)),
        id=SchedulerId(fields["id"]),
        provisional=fields["provisional"] == "1",
        reason=_plain(fields["reason"]),
        started=float(fields["started"]),
        ended=float(fields["ended"]),
        tasks=tuple(_tasks(lines)),
    )


def _tasks(lines: list[str]) -> list[TaskEnd]:
    ends: list[TaskEnd] = []
    for line in lines:
        kind, _, text = line.partition(" ")
        if kind == "task":
            ends.append(_task(text))
        elif kind == "missing" and ends:
            ends[-1] = replace(ends[-1], missing=(*ends[-1].missing, _plain(text)))
        else:
            msg = f"unexpected {line!r}"
            raise ValueError(msg)
    return ends


def _task(text: str) -> TaskEnd:
    task, code, started, ended = text.split(" ")
    return TaskEnd(task=int(task), code=int(code), started=float(started), ended=float(ended))


def _plain(text: str) -> str:
    return _ESCAPE.sub(lambda match: "\n" if match[1] == "n" else match[1], text)
