"""Commands of this machine that are fed with a stream, or read as one.

    feed(("tar", "-x"), chunks, silence=timedelta(minutes=1), environment={})
    with Reading(("tar", "-c", "."), silence=timedelta(minutes=1), environment={}) as output:
        while data := output.read(1 << 18):
            ...
        output.end().checked()

One loop waits for all of a command's pipes at once, so that none of them fills up while another is waited for.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Final, Self, cast

from jobferry_common.schedulers.base import Completed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import timedelta

    from jobferry_common.schedulers.base import Argv

TIMED_OUT: Final = 124
NOT_RUN: Final = 126
NOT_FOUND: Final = 127
_PIECE_BYTES: Final = 1 << 18
#: how long a command that has closed its output may take to end
_END_SECONDS: Final = 10.0


def unstarted(argv: Argv, error: OSError) -> Completed:
    """Return what a shell would answer for a command that could not be started."""
    code = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_RUN
    where = error.filename or argv[0]
    if isinstance(where, bytes):
        where = where.decode("utf-8", "replace")
    return Completed(argv=argv, exit_code=code, stderr=f"{where}: {error.strerror}\n")


class Pipes:
    """A running command: what goes in is taken from an iterator, what comes out is kept apart."""

    def __init__(
        self,
        argv: Argv,
        chunks: Iterable[bytes],
        silence: timedelta,
        child: subprocess.Popen[bytes],
    ) -> None:
        self._argv = argv
        self._chunks: Iterator[bytes] = iter(chunks)
        self._silence = silence.total_seconds()
        self._child = child
        self._left = memoryview(b"")
        self._late = False
        self.stdout = bytearray()
        self._stderr = bytearray()
        self._selector = selectors.DefaultSelector()
        for pipe, events in (
            (child.stdin, selectors.EVENT_WRITE),
            (child.stdout, selectors.EVENT_READ),
            (child.stderr, selectors.EVENT_READ),
        ):
            stream = cast("IO[bytes]", pipe)
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream, events)

    def move(self) -> bool:
        """Wait until something moves, and move it; False when all pipes are closed."""
        if not self._selector.get_map():
            return False
        ready = self._selector.select(self._silence)
        if not ready:
            self._late = True
            self.kill()
            return False
        for key, _ in ready:
            stream = cast("IO[bytes]", key.fileobj)
            if stream is self._child.stdin:
                self._write(stream)
            else:
                self._read(stream)
        return True

    def _write(self, stream: IO[bytes]) -> None:
        while not self._left:
            chunk = next(self._chunks, None)
            if chunk is None:
                self._close(stream)
                return
            self._left = memoryview(chunk)
        try:
            sent = os.write(stream.fileno(), self._left[:_PIECE_BYTES])
        except BlockingIOError:
            return
        except BrokenPipeError:  # it wants no more; its exit code says why
            self._close(stream)
            return
        self._left = self._left[sent:]

    def _read(self, stream: IO[bytes]) -> None:
        data = os.read(stream.fileno(), _PIECE_BYTES)
        if not data:
            self._close(stream)
        elif stream is self._child.stdout:
            self.stdout += data
        else:
            self._stderr += data

    def _close(self, stream: IO[bytes]) -> None:
        self._selector.unregister(stream)
        with suppress(OSError):
            stream.close()

    def kill(self) -> None:
        """End the command with all its children, and close its pipes."""
        if self._child.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        for key in list(self._selector.get_map().values()):
            self._close(cast("IO[bytes]", key.fileobj))

    def close(self) -> None:
        """Leave nothing behind."""
        self.kill()
        self._selector.close()

    def end(self) -> Completed:
        """Return how the command ended; its pipes are closed."""
        try:
            self._child.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._late = True
            self.kill()
        return Completed(
            argv=self._argv,
            exit_code=TIMED_OUT if self._late else self._child.returncode,
            stdout=self.stdout.decode("utf-8", "replace"),
            stderr=self._stderr.decode("utf-8", "replace"),
        )


def _started(
    argv: Argv, chunks: Iterable[bytes], silence: timedelta, environment: Mapping[str, str]
) -> Pipes:
    child = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        env=environment,
        start_new_session=True,
    )
    return Pipes(argv, chunks, silence, child)


def feed(
    argv: Argv, chunks: Iterable[bytes], *, silence: timedelta, environment: Mapping[str, str]
) -> Completed:
    """Run a command and stream to its stdin. What the iterator raises ends the command."""
    try:
        pipes = _started(argv, chunks, silence, environment)
    except OSError as error:
        return unstarted(argv, error)
    try:
        while pipes.move():
            pass
        return pipes.end()
    finally:
        pipes.close()


class Reading:
    """The `Output` of a command of this machine."""

    def __init__(
        self, argv: Argv, *, silence: timedelta, stdin: bytes, environment: Mapping[str, str]
    ) -> None:
        self._argv = argv
        self._silence = silence
        self._stdin = stdin
        self._environment = environment
        self._pipes: Pipes | None = None
        self._failed: Completed | None = None

    def __enter__(self) -> Self:
        """Start the command."""
        try:
            self._pipes = _started(self._argv, (self._stdin,), self._silence, self._environment)
        except OSError as error:
            self._failed = unstarted(self._argv, error)
        return self

    def __exit__(self, *_: object) -> None:
        """End the command if it still runs."""
        if self._pipes:
            self._pipes.close()

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, all that is left if it is negative; b"" at the end."""
        pipes = self._pipes
        if pipes is None:
            return b""
        wanted = 1 if size > 0 else size
        while (wanted < 0 or len(pipes.stdout) < wanted) and pipes.move():
            pass
        taken = len(pipes.stdout) if size < 0 else size
        data = bytes(pipes.stdout[:taken])
        del pipes.stdout[:taken]
        return data

    def end(self) -> Completed:
        """Return exit code and stderr; what was not read is thrown away."""
        if self._failed or self._pipes is None:
            return self._failed or Completed(argv=self._argv, exit_code=NOT_RUN)
        while self._pipes.move():
            self._pipes.stdout.clear()
        self._pipes.stdout.clear()
        return self._pipes.end()
