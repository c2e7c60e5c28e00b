"""Where the files of a run are, as far as this machine sees them.

Outputs of a task that still runs are on the cluster; once they were fetched they are in the producer's own
directory. Where cluster and producer share no file system, only the latter can be read here.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from jobferry_common.errors import UnreadableOutput
from jobferry_common.scripts.layout import Layout
from jobferry_common.scripts.records import ExitRecord, parse_record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobferry_common.document import Header, TaskSpec
    from jobferry_common.names import AttemptKey, RunId

_TAIL_BYTES = 8192


class Places:
    """The directories of one run."""

    def __init__(
        self, header: Header, run: RunId, root: str | None, ledger: str, *others: str
    ) -> None:
        self.source = Path(header.source)  #: the producer's own directory
        #: the run's directories on the cluster; None when nobody here knows its root
        self.layout = None if root is None else Layout.of(header, run, root, ledger)
        #: of a run that clusters share: those on each whose root is known here
        self._layouts = [Layout.of(header, run, one, ledger) for one in (root, *others) if one]

    @property
    def base(self) -> Path | None:
        """The work base on the cluster, if it can be seen from here."""
        return next(self._bases(), None)

    def log(self, spec: TaskSpec, name: str | None) -> Path | None:
        """Return the file of a task's output, the cluster's own before the copy that came back."""
        if name is None:
            return None
        candidates = (place / spec.path / name for place in self._places())
        return next((path for path in candidates if path.is_file()), None)

    def shows(self, spec: TaskSpec) -> bool:
        """True where an output of a task is seen on the cluster itself."""
        names = filter(None, (spec.outlog, spec.errlog))
        files = (base / spec.path / name for name in names for base in self._bases())
        return any(path.is_file() for path in files)

    def record(self, attempt: AttemptKey) -> ExitRecord | None:
        """Return the exit record of an attempt, if it can be seen from here."""
        for layout in self._layouts:
            with suppress(OSError, UnreadableOutput):
                return parse_record(Path(layout.record(attempt)).read_bytes())
        return None

    def _places(self) -> Iterator[Path]:
        yield from self._bases()
        yield self.source

    def _bases(self) -> Iterator[Path]:
        for layout in self._layouts:
            if os.access(layout.control, os.R_OK | os.X_OK):
                yield Path(layout.base)


def tail(path: Path | None, lines: int) -> tuple[str, ...]:
    """Return the last lines of a file that hold anything; () if it cannot be read."""
    if path is None:
        return ()
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ()
    full = [line.rstrip() for line in text.splitlines() if line.strip()]
    return tuple(full[-lines:])
