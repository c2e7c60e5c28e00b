"""The interface of a host: where commands run and files go. It knows no scheduler.

Commands are argument vectors; paths are absolute and on the host; the far side enforces time limits.
Every method raises `HostUnreachable` when the machine does not answer, and `StagingError` with the path when a
file cannot be read or written (no space, no permission, quota).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import timedelta

    from jobferry_common.files import NewFile
    from jobferry_common.schedulers.base import Argv, Completed


class Host(Protocol):
    """A machine that runs commands and holds files."""

    #: for messages: "this machine", "alice@login.hpc1:22"
    name: str

    def run(
        self,
        argv: Argv,
        *,
        limit: timedelta,
        stdin: bytes = b"",
        directory: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Completed:
        """Run one command, at most `limit` long: exit code 124 when it was ended, 127 when it does not exist."""
        ...

    def user(self) -> str:
        """Return the name of the user whose jobs these are."""
        ...

    def write(self, files: Iterable[NewFile]) -> None:
        """Write many small files, each by rename: nobody sees half of one."""
        ...

    def read(self, paths: Sequence[str]) -> Mapping[str, bytes]:
        """Return the contents of those that exist."""
        ...

    def create(self, files: Sequence[NewFile]) -> Sequence[bool]:
        """Create each file exclusively; False where it existed already."""
        ...

    def names(self, directory: str) -> Sequence[str]:
        """Return the names in a directory, [] if it does not exist."""
        ...

    def make_directories(self, paths: Iterable[str]) -> None:
        """Make directories with their parents; existing ones are left alone."""
        ...

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files; those that are gone already are left alone."""
        ...

    def remove_tree(self, path: str) -> None:
        """Remove a directory with all that is in it; links are not followed."""
        ...
