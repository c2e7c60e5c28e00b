"""The interface of a context: files go to a run's directory, and results come back.

Every method may be repeated: what is there already is left alone. Each raises `StagingError` with a path when a
file cannot be read or written; the run keeps its files, and the call can be made again.
"""

from __future__ import annotations

import errno
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol

from jobferry_common.errors import StagingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from jobferry_common.document import Header, TaskSpec
    from jobferry_common.scripts.layout import Layout

_ADVICE: Final[Mapping[int, str]] = MappingProxyType(
    {
        errno.ENOSPC: "free some space there; it is tried again",
        errno.EDQUOT: "the quota is used up: free some space there; it is tried again",
        errno.EACCES: "expected permission for the user of the worker",
        errno.EPERM: "expected permission for the user of the worker",
        errno.EROFS: "expected a file system that can be written to",
        errno.ENAMETOOLONG: "expected shorter names",
    }
)

#: of a machine or a disk, not of one file: trying again may help
_PASSING: Final = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.EROFS),
        *(errno.EAGAIN, errno.EINTR, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EBUSY),
        *(errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.EREMOTEIO),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lacking:
    """A result that should be there and is not, or that cannot be brought."""

    position: int | None  #: of the task in the user's list; None: a common file
    path: str  #: the task's directory, relative to the work base
    name: str  #: the pattern as the user wrote it
    why: str = ""  #: it may be there, but it cannot be brought

    def __str__(self) -> str:
        """Return one line."""
        owner = "the submission" if self.position is None else f"task {self.position} ({self.path})"
        if self.why:
            return f"{self.name!r} of {owner} stays on the cluster: {self.why}"
        return f"{self.name!r}, a backward file of {owner}, does not exist"


class Staging(Protocol):
    """How the files of a run travel."""

    def stage(
        self, header: Header, pages: Iterable[Sequence[tuple[int, TaskSpec]]], layout: Layout
    ) -> None:
        """Bring every file that the tasks read to where they run."""
        ...

    def collect(
        self, header: Header, tasks: Iterable[tuple[TaskSpec, bool]], layout: Layout
    ) -> list[Lacking]:
        """Bring the results of tasks that ended to the producer's directory; True: the task succeeded.

        Of a failed task comes back what there is; what a successful one lacks is returned, and of both what can
        never be brought.
        """
        ...

    def collect_common(self, header: Header, layout: Layout) -> list[Lacking]:
        """Bring back the common results of a run that ended; return what lacks."""
        ...

    def clean(self, layout: Layout) -> None:
        """Remove all that jobferry brought or wrote for a run, and nothing else."""
        ...


def is_passing(error: StagingError) -> bool:
    """Tell whether what could not be moved may be moved later, with nothing changed by the user."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in _PASSING


@contextmanager
def told(what: str, path: str) -> Iterator[None]:
    """Turn an `OSError` into a `StagingError` that names the path and the next step."""
    try:
        yield
    except OSError as error:
        where = error.filename2 or error.filename or path
        advice = _ADVICE.get(error.errno or 0, "")
        msg = f"cannot {what} {where}: {error.strerror or error}{advice and f' ({advice})'}"
        raise StagingError(msg) from error
