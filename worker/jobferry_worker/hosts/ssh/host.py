"""A cluster's machine that is reached by ssh: commands and small files go through long-lived shells.

host = SshHost(connection)
host.run(("squeue", "--me"), limit=timedelta(seconds=30)).checked()
host.write([NewFile(path="/scratch/a/run.sh", content=b"...", mode=0o755)])

Any number of threads may use it; all share one connection, and up to three shells. A command of which no answer came
raises `HostUnreachable`: it may have had its effect. Files are asked for a second time when a connection broke, because
that does no harm; only `create` is not, because its answer would be another.
"""

from __future__ import annotations

import logging
import secrets
import time
from functools import cached_property
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import HostUnreachable
from jobferry_common.schedulers.base import Completed
from jobferry_common.scripts.quoting import variable, word, words
from jobferry_common.ssh.link import LOGIN_SECONDS
from jobferry_worker.hosts.ssh import files as far
from jobferry_worker.hosts.ssh.pool import PROBE_SECONDS, Shells
from jobferry_worker.hosts.ssh.shell import (
    START_SECONDS,
    Answer,
    ShellFlooded,
    ShellGone,
    ShellSilent,
)
from jobferry_worker.hosts.ssh.stream import Reading, feed
from jobferry_worker.hosts.streams import TIMED_OUT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import timedelta

    from jobferry_common.files import NewFile
    from jobferry_common.schedulers.base import Argv
    from jobferry_worker.hosts.ssh.pool import Connection
    from jobferry_worker.hosts.ssh.shell import Shell

logger: Final = logging.getLogger(__name__)

_KILLED: Final = 137
#: from SIGTERM to SIGKILL for a command whose time is up
_KILL_AFTER_SECONDS: Final = 2
#: how much longer than a command's limit its answer may take
_SLACK_SECONDS: Final = 10.0
#: how long a command waits for a shell if its limit is shorter; what is left of a limit at least
_WAIT_SECONDS: Final = 5.0
_LEAST_SECONDS: Final = 1.0
#: what files may take, and the least rate at which they travel
_FILES_SECONDS: Final = 60.0
_LEAST_RATE: Final = 64 * 1024
_TREE_SECONDS: Final = 3600.0


class SshHost:
    """The machine at the far end of a connection."""

    #: for what is asked, for a look whether anything comes, and for another login with its shell
    silence_seconds = _FILES_SECONDS + PROBE_SECONDS + LOGIN_SECONDS + START_SECONDS

    def __init__(
        self, connection: Connection, *, login: bool = True, shells: int = 3, opening: str = ""
    ) -> None:
        """Take note of a connection.

        Args:
            connection: of the account; nothing is asked of it yet.
            login: start the shells as a login does.
            shells: at most so many at once.
            opening: what each shell runs first, in itself.
        """
        self.name = connection.name
        self._connection = connection
        self._shells = Shells(connection, login=login, most=shells, opening=opening)

    def run(
        self,
        argv: Argv,
        *,
        limit: timedelta,
        stdin: bytes = b"",
        directory: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Completed:
        """Run one command; what a flood of output goes beyond, and what hangs, is ended."""
        around = _around(directory, environment or {})
        logger.debug("Run %s.", argv, extra={"action": "run", "argv": argv})
        started = time.monotonic()
        try:
            answer = self._command(argv, limit.total_seconds(), stdin, around)
        except ShellSilent:
            said = f"{argv[0]}: it could not be ended in time\n"
            return Completed(argv=argv, exit_code=TIMED_OUT, stderr=said)
        except ShellFlooded as error:
            return Completed(argv=argv, exit_code=TIMED_OUT, stderr=f"{argv[0]}: {error}\n")
        except ShellGone as error:
            msg = f"{self.name}: it is not known what became of {argv[0]}: {error}"
            raise HostUnreachable(msg) from error
        over = time.monotonic() - started >= limit.total_seconds()
        return Completed(
            argv=argv,
            exit_code=TIMED_OUT if over and answer.code == _KILLED else answer.code,
            stdout=answer.stdout.decode("utf-8", "replace"),
            stderr=answer.stderr.decode("utf-8", "replace"),
            raw=answer.stdout,
        )

    def feed(self, argv: Argv, chunks: Iterable[bytes], *, silence: timedelta) -> Completed:
        """Run a command and stream to its stdin, on a channel of its own."""
        logger.debug("Feed %s.", argv, extra={"action": "feed", "argv": argv})
        return feed(self._shells, argv, chunks, silence=silence)

    def output(self, argv: Argv, *, silence: timedelta, stdin: bytes = b"") -> Reading:
        """Run a command and read its stdout as a stream, on a channel of its own."""
        logger.debug("Read from %s.", argv, extra={"action": "output", "argv": argv})
        return Reading(self._shells, argv, silence=silence, stdin=stdin)

    def user(self) -> str:
        """Return the name of the user at the far side, or its number where it has no name."""
        return self._user

    def home(self) -> str:
        """Return the user's home directory at the far side."""
        return self._home

    def write(self, files: Iterable[NewFile]) -> None:
        """Write all files beside their places with one archive, and rename them, directory by directory."""
        wanted = {file.path: file for file in files}
        if not wanted:
            return
        mark = _mark()
        if far.is_small(wanted.values()):
            line, data = far.putting(next(iter(wanted.values())), mark), b""
        else:
            line, data = far.unpacking("jf_write", wanted.values(), mark)
        far.check("write", list(wanted), self._ask(line, data), mark)

    def read(self, paths: Sequence[str]) -> Mapping[str, bytes]:
        """Return the contents of those that exist."""
        return far.contents(paths, self._ask(far.reading(paths))) if paths else {}

    def create(self, files: Sequence[NewFile]) -> Sequence[bool]:
        """Create each file exclusively, and with all of its content at once."""
        first = {file.path: file for file in reversed(files)}
        if not first:
            return []
        mark = _mark()
        line, data = far.unpacking("jf_create", first.values(), mark)
        answer = self._ask(line, data, again=False)
        far.check("create", list(first), answer, mark)
        return far.created(files, answer)

    def names(self, directory: str) -> Sequence[str]:
        """Return the sorted names in a directory, [] if it does not exist."""
        return far.listed(directory, self._ask(far.listing(directory)))

    def make_directories(self, paths: Iterable[str]) -> None:
        """Make directories with their parents."""
        self._change("make directory", "jf_make_directories", list(paths))

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files; those that are gone already are left alone."""
        self._change("remove", "jf_remove", list(paths))

    def remove_tree(self, path: str) -> None:
        """Remove a directory with all that is in it; links are not followed."""
        answer = self._ask(f"jf_remove_tree {word(path)}", seconds=_TREE_SECONDS)
        far.check("remove", [path], answer)

    def close(self) -> None:
        """End the shells and the connection."""
        self._shells.close()
        self._connection.close()

    @cached_property
    def _user(self) -> str:
        answer = self._ask("id -un </dev/null >&8 2>/dev/null || id -u </dev/null >&8")
        return answer.stdout.decode().split()[-1]

    @cached_property
    def _home(self) -> str:
        return self._ask("(cd && pwd -P) </dev/null >&8").stdout.decode().strip() or "/"

    def _change(self, what: str, function: str, paths: Sequence[str]) -> None:
        if paths:
            far.check(what, paths, self._ask(f"{function} {words(paths)}"))

    def _command(self, argv: Argv, limit: float, stdin: bytes, around: Sequence[str]) -> Answer:
        """Run a command so that it has ended when its limit is over, however long it waited for a shell."""
        called = time.monotonic()
        travel = len(stdin) / _LEAST_RATE

        def run(shell: Shell, _: float) -> Answer:
            waited = time.monotonic() - called
            if waited > max(limit, _WAIT_SECONDS):
                msg = f"{self.name}: {argv[0]} was not started: no shell could be had in {waited:.0f} s"
                raise HostUnreachable(msg)
            left = max(limit - waited, min(limit, _LEAST_SECONDS))
            until = time.monotonic() + left + travel + _KILL_AFTER_SECONDS + _SLACK_SECONDS
            return shell.command(_body(argv, left, around), stdin=stdin, until=until)

        return self._shells.use(run, seconds=max(limit, _WAIT_SECONDS) + travel)

    def _ask(
        self, line: str, stdin: bytes = b"", *, again: bool = True, seconds: float = 0.0
    ) -> Answer:
        seconds = seconds or _FILES_SECONDS
        seconds += (len(line) + len(stdin)) / _LEAST_RATE
        try:
            return self._shells.use(
                lambda shell, until: shell.ask(line, stdin=stdin, until=until),
                seconds=seconds,
                again=again,
            )
        except ShellGone as error:
            silent = isinstance(error, ShellSilent)
            why = (
                "its file system may hang" if silent else "what became of files there is not known"
            )
            msg = f"{self.name}: {error}: {why}; it is tried again"
            raise HostUnreachable(msg) from error


def _mark() -> str:
    return f".jf-{secrets.token_hex(8)}.tmp"


def _around(directory: str | None, environment: Mapping[str, str]) -> Sequence[str]:
    """Return what is done before a command."""
    moves = [] if directory is None else [f"jf_cd {word(directory)}"]
    exports = [
        f"export {variable(name, 'environment')}={word(value)}"
        for name, value in environment.items()
    ]
    return ["jf_env", *moves, *exports]


def _body(argv: Argv, seconds: float, around: Sequence[str]) -> str:
    """Return what a process of the shell carries out to become the command."""
    timeout = f'"$jf_timeout" --kill-after={_KILL_AFTER_SECONDS} {max(seconds, 0.01):.3f}'
    return "; ".join([*around, f"exec {timeout} {words(argv)}"])
