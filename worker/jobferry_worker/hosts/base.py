"""The interface of a host: where commands run and files go. It knows no scheduler.

Commands are argument vectors; paths are absolute and on the host; the far side enforces time limits.
Every method raises `HostUnreachable` when the machine does not answer, and `StagingError` with the path when a
file cannot be read or written (no space, no permission, quota).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import timedelta

    from jobferry_common.files import NewFile
    from jobferry_common.schedulers.base import Argv, Completed


class Output(Protocol):
    """What a command writes to its stdout, while it runs; fit for tarfile's mode "r|"."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, all that is left if it is negative; b"" at the end."""
        ...

    def end(self) -> Completed:
        """Return exit code and stderr once the command ended: only they tell whether the output is whole."""
        ...


class Host(Protocol):
    """A machine that runs commands and holds files."""

    #: for messages: "this machine", "alice@login.hpc1:22"
    name: str
    #: seconds after which any call has told that nothing comes from there, besides the limit of a command
    silence_seconds: float

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

    def feed(self, argv: Argv, chunks: Iterable[bytes], *, silence: timedelta) -> Completed:
        """Run a command and stream to its stdin: exit code 124 when nothing moved for `silence`, and it was ended.

        What the iterator raises ends the command and passes through. A command that wants no more is not fed to
        the end; its exit code says why. Other commands can be run from within the iterator.
        """
        ...

    def output(
        self, argv: Argv, *, silence: timedelta, stdin: bytes = b""
    ) -> AbstractContextManager[Output]:
        """Run a command and read its stdout as a stream; exit code 124 as above.

        Whoever leaves the block before the end ends the command.
        """
        ...

    def user(self) -> str:
        """Return the name of the user whose jobs these are."""
        ...

    def write(self, files: Iterable[NewFile]) -> None:
        """Write many small files, each by rename, directory by directory: nobody sees half of one."""
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
