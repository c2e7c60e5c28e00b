"""The outputs of tasks, also of those that run: read from the files that this machine sees.

for line in read_logs(handle, places, choose(tasks, "2"), follow=True):
    print(line.text)
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jobferry.results import is_settled
from jobferry_common.errors import UnknownId

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from jobferry.handle import Handle
    from jobferry.places import Places
    from jobferry_common.document import TaskSpec

OUT: Final = "outlog"
ERR: Final = "errlog"
_PAUSE_SECONDS = 0.2
_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line that a task printed."""

    task: int  #: position in the submission's list of tasks
    name: str  #: the task's name, else its directory
    stream: str  #: "outlog" or "errlog"
    text: str  #: without its end


class _Stream:
    """One output of one task, read from where the last look ended."""

    def __init__(self, places: Places, spec: TaskSpec, stream: str) -> None:
        self._places = places
        self._spec = spec
        self._stream = stream
        self._file = spec.outlog if stream == OUT else spec.errlog
        self._seen: tuple[Path, int] | None = None
        self._rest = b""

    def read(self, *, last: bool) -> Iterator[Line]:
        """Yield the lines that are new; with `last` also one without an end."""
        for chunk in self._chunks():
            *full, self._rest = (self._rest + chunk).split(b"\n")
            yield from map(self._line, full)
        if last and self._rest:
            yield self._line(self._rest)
            self._rest = b""

    def _chunks(self) -> Iterator[bytes]:
        # after the run ends its directory on the cluster may be gone: the copy that came back is as long
        path = self._places.log(self._spec, self._file)
        if path is None:
            return
        offset = 0 if self._seen is None else self._seen[1]
        try:
            with path.open("rb") as file:
                file.seek(offset)
                while chunk := file.read(_CHUNK_BYTES):
                    yield chunk
                    self._seen = (path, file.tell())
        except OSError:
            return

    def _line(self, text: bytes) -> Line:
        return Line(
            task=self._spec.position,
            name=self._spec.name or self._spec.path or ".",
            stream=self._stream,
            text=text.decode("utf-8", "replace").rstrip("\r"),
        )


def choose(tasks: Iterable[tuple[int, TaskSpec]], wanted: str) -> dict[int, TaskSpec]:
    """Return the tasks that a word means, by their index in job order: a position, a name or a directory.

    Raises:
        UnknownId: no task is meant.
    """
    named: dict[int, TaskSpec] = {}
    numbered: dict[int, TaskSpec] = {}
    number, count = int(wanted) if wanted.isdecimal() else -1, 0
    for index, spec in tasks:
        count += 1
        if wanted in (spec.name, spec.path, f"{spec.path}/"):
            named[index] = spec
        elif spec.position == number:
            numbered[index] = spec
    if found := named or numbered:
        return found
    msg = f"no task {wanted!r}: expected 0 to {count - 1}, a task's name or its directory"
    raise UnknownId(msg)


def read_logs(
    handle: Handle, places: Places, tasks: Mapping[int, TaskSpec], *, follow: bool = False
) -> Iterator[Line]:
    """Yield the lines of tasks' outputs; with `follow` until the jobs of these tasks have ended.

    Args:
        handle: the run.
        places: where its files are.
        tasks: those that are read, by their index in job order.
        follow: go on until nothing more comes.
    """
    streams = [_Stream(places, spec, name) for spec in tasks.values() for name in (OUT, ERR)]
    watch = _Watch(handle, places, tasks)
    while True:
        done = not follow or watch.is_over()
        for stream in streams:
            yield from stream.read(last=done)
        if done:
            return
        time.sleep(_PAUSE_SECONDS)


class _Watch:
    """Tells when nothing more can come of some tasks: the rest of the run may go on for days."""

    def __init__(self, handle: Handle, places: Places, tasks: Mapping[int, TaskSpec]) -> None:
        self._handle = handle
        self._places = places
        self._group = handle.client.ledger.header(handle.id).group_size
        #: tasks whose jobs have not ended, as far as it is known
        self._left = list(tasks.items())

    def is_over(self) -> bool:
        """True once what is left to read of all of them is here."""
        if is_settled(self._handle.attend()):
            return True
        while self._left and self._has_ended(*self._left[-1]):
            self._left.pop()
        if self._left:
            return False
        # what came into the depot before the last job was seen to have ended
        self._handle.attend()
        return True

    def _has_ended(self, index: int, spec: TaskSpec) -> bool:
        """True once its job made its last attempt, and its outputs are where they can be read."""
        ledger, run, job = self._handle.client.ledger, self._handle.id, index // self._group
        if not ledger.job(run, job).state.is_final:
            return False
        return self._places.shows(spec) or ledger.is_collected(run, job)
