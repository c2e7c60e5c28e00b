"""The outputs of tasks, also of those that run: read from the files that this machine sees.

for line in read_logs(client, run, tasks=[0], follow=True):
    print(line.text)
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jobferry.results import is_settled
from jobferry_common.errors import UnknownId

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
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


def choose(specs: Iterable[TaskSpec], wanted: str) -> list[TaskSpec]:
    """Return the tasks that a word means: a position, a name or a directory.

    Raises:
        UnknownId: no task is meant.
    """
    known = list(specs)
    chosen = [spec for spec in known if wanted in (spec.name, spec.path, f"{spec.path}/")]
    if not chosen and wanted.isdecimal():
        chosen = [spec for spec in known if spec.position == int(wanted)]
    if not chosen:
        msg = f"no task {wanted!r}: expected 0 to {len(known) - 1}, a task's name or its directory"
        raise UnknownId(msg)
    return chosen


def read_logs(
    handle: Handle, places: Places, specs: Iterable[TaskSpec], *, follow: bool = False
) -> Iterator[Line]:
    """Yield the lines of tasks' outputs; with `follow` until the run's results are here."""
    streams = [_Stream(places, spec, name) for spec in specs for name in (OUT, ERR)]
    while True:
        done = not follow or is_settled(handle.attend())
        for stream in streams:
            yield from stream.read(last=done)
        if done:
            return
        time.sleep(_PAUSE_SECONDS)
