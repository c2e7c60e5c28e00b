"""Commands at the far side that are fed with a stream, or read as one: each on a channel of its own.

feed(shells, ("tar", "-x", "-C", "/scratch"), chunks, silence=timedelta(minutes=1))
with Reading(shells, ("tar", "-c", "."), silence=timedelta(minutes=1)) as output:
    while data := output.read(1 << 18):
        ...
    output.end().checked()

The command travels in characters that mean the same to any login shell. What login scripts print before it is skipped.
"""

from __future__ import annotations

import re
import secrets
import time
from contextlib import ExitStack, suppress
from itertools import chain
from typing import TYPE_CHECKING, Final, NoReturn, Self

from jobferry_common.errors import HostUnreachable
from jobferry_common.schedulers.base import Completed
from jobferry_common.scripts.quoting import word, words
from jobferry_worker.hosts.ssh.channel import BROKEN, EMPTY, Wire
from jobferry_worker.hosts.ssh.shell import MOST_OUTPUT, ShellGone
from jobferry_worker.hosts.streams import NOT_RUN, TIMED_OUT

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta

    from jobferry_common.schedulers.base import Argv
    from jobferry_worker.hosts.ssh.pool import Shells

#: a channel's window and the packets that it takes: bulk data needs more of both than a terminal
_WINDOW_BYTES: Final = 16 << 20
_PACKET_BYTES: Final = 256 << 10
#: Linux takes no longer argument than 131,072; what runs the command is in it, too
_MOST_SCRIPT: Final = 120_000
#: a history character, a quote, a newline: each shell has its own idea of them
_ODD: Final = re.compile(rb"[^][A-Za-z0-9 _./:,=+%#*?|&;<>(){}-]")
_START_SECONDS: Final = 60.0
#: how long a command that has closed its output may take to end
_END_SECONDS: Final = 10.0
#: until a send that hangs is ended from outside, after the time in which nothing may move
_GRACE_SECONDS: Final = 15.0
_KILL_SECONDS: Final = 15.0


class Stream:
    """A running command; data is moved by the thread that uses it."""

    def __init__(self, shells: Shells, argv: Argv, silence: timedelta) -> None:
        self._shells = shells
        self._argv = argv
        self._silence = silence.total_seconds()
        self._nonce = secrets.token_hex(16)
        self._pid = 0
        self._late = False
        self._done = False
        self._stack = ExitStack()
        self._transport = shells.transport()
        until = time.monotonic() + _START_SECONDS
        self._guard = self._stack.enter_context(shells.watch.over(self._transport, until))
        try:
            self._wire = self._opened(until)
        except BROKEN as error:
            self._stack.close()
            self._break(error)
        except BaseException:
            self._stack.close()
            raise

    @property
    def stdout(self) -> bytearray:
        """What came and was not taken yet."""
        return self._wire.stdout

    def push(self, data: memoryview) -> memoryview:
        """Send some of it, and take what comes; return what is left, nothing once the command takes no more."""
        left = self._move(data)
        return EMPTY if self._done else left

    def pull(self) -> bool:
        """Wait until something moves; False once nothing more comes."""
        if not self._done:
            self._move(EMPTY)
        return not self._done

    def close_stdin(self) -> None:
        """Let the command see the end of its stdin."""
        with suppress(*BROKEN):
            self._wire.channel.shutdown_write()

    @property
    def done(self) -> bool:
        """Whether nothing moves any more."""
        return self._done

    def completed(self) -> Completed:
        """Return how it ended; nothing more came, or it was too silent."""
        channel = self._wire.channel
        if not self._late and not channel.status_event.wait(min(self._silence, _END_SECONDS)):
            self._end_late()
        if not self._late and (channel.exit_status < 0 or not self._wire.channel.eof_received):
            self._break(None)
        return Completed(
            argv=self._argv,
            exit_code=TIMED_OUT if self._late else channel.exit_status,
            stdout=self._wire.stdout.decode("utf-8", "replace"),
            stderr=self._wire.stderr.decode("utf-8", "replace"),
        )

    def close(self) -> None:
        """Leave nothing behind: the command is ended before it could take the end of its stdin for the end."""
        if not self._wire.channel.status_event.is_set():
            self._kill()
        self._wire.close()
        self._stack.close()

    def _opened(self, until: float) -> Wire:
        path = self._shells.path()
        sizes = {"window_size": _WINDOW_BYTES, "max_packet_size": _PACKET_BYTES}
        channel = self._shells.open(self._transport, until, **sizes)
        self._stack.callback(self._shells.opened_no_more)
        self._stack.callback(channel.close)
        wire = Wire(channel)
        channel.exec_command(_remote(self._script(path)))
        channel.settimeout(self._silence)
        begin = f"{self._nonce}\n".encode()
        while begin not in wire.stdout or not self._begun(wire):
            if wire.ended or time.monotonic() > until:
                wire.close()
                said = bytes(wire.stderr[-300:]).decode("utf-8", "replace")
                msg = f"{self._shells.connection.name}: {self._argv[0]} was not started: {said}"
                raise HostUnreachable(msg)
            wire.move(EMPTY, until)
        del wire.stdout[: wire.stdout.index(begin) + len(begin)]
        return wire

    def _begun(self, wire: Wire) -> bool:
        """Read the process id, and forget what was printed before."""
        _, mark, rest = bytes(wire.stderr).partition(f"{self._nonce} ".encode())
        number, newline, said = rest.partition(b"\n")
        if mark and newline:
            self._pid = int(number)
            wire.stderr[:] = said
        return bool(self._pid)

    def _script(self, path: str) -> str:
        """Return what becomes the command, in a process group of its own.

        It needs no time limit there: nobody but its channel feeds it, and takes what it prints.
        """
        # a bash that thinks it is the first one of an ssh login reads ~/.bashrc, which may print
        return (
            f"PATH={word(path)}; SHLVL=3; export PATH SHLVL; "
            f'set -m; (printf "%s %s\\n" {self._nonce} "$BASHPID" >&2; printf "%s\\n" {self._nonce}; '
            f"exec {words(self._argv)}); exit $?"
        )

    def _move(self, data: memoryview) -> memoryview:
        wire, before = self._wire, self._wire.moved
        until = time.monotonic() + self._silence
        self._guard.until = until + _GRACE_SECONDS
        try:
            while not (wire.ended or wire.moved != before):
                if time.monotonic() >= until:
                    self._end_late()
                    return EMPTY
                data = wire.move(data, until)
        except BROKEN as error:
            # a command that ended takes nothing more: that is no fault of the connection
            if not wire.channel.eof_received:
                self._break(error)
            wire.take()  # it may have said why; while that is not taken, the wire has not ended
        del wire.stderr[MOST_OUTPUT:]
        if wire.ended:
            self._done = True
            if not wire.channel.eof_received:
                self._break(None)
        return data

    def _end_late(self) -> None:
        """Nothing moved: end the command, unless it is the connection over which nothing comes."""
        self._late = self._done = True
        if not self._shells.is_reachable(self._transport):
            self._break(None)
        self._kill()

    def _kill(self) -> None:
        if not self._pid or not self._transport.is_active():
            return
        line = f"kill -KILL -- -{self._pid}"
        with suppress(ShellGone, HostUnreachable):
            self._shells.use(
                lambda shell, until: shell.ask(line, until=until), seconds=_KILL_SECONDS
            )

    def _break(self, error: BaseException | None) -> NoReturn:
        if not self._transport.is_active():
            self._shells.connection.lost(self._transport)
        said = f": {error}" if error and str(error) else ""
        msg = (
            f"{self._shells.connection.name}: the connection broke while {self._argv[0]} ran{said}"
        )
        raise HostUnreachable(msg) from error


def _remote(script: str) -> str:
    """Return what every login shell passes on alike; bash itself turns it into the script, without a process more.

    Other characters than those that no shell minds between single quotes stand as "@" and their number. A backslash is
    one of them: bash gets it by quoting a blank.
    """
    code = _ODD.sub(_numbered, b"\n" + script.encode("utf-8", "surrogateescape")).decode("ascii")
    return (
        f'exec bash -pfc \'IFS=@; jf="{code}"; set -- $jf; shift; unset IFS; printf -v jf %q " "; '
        'printf -v jf %b "${@/#/${jf:0:1}x}"; set --; set +f; eval "$jf"\''
    )


def _numbered(found: re.Match[bytes]) -> bytes:
    return b"@%02x" % found[0][0]


def _too_long(argv: Argv) -> Completed | None:
    script = words(argv).encode("utf-8", "surrogateescape")
    if len(script) + 2 * len(_ODD.findall(script)) <= _MOST_SCRIPT:
        return None
    said = f"{argv[0]}: Argument list too long: names belong to its stdin\n"
    return Completed(argv=argv, exit_code=NOT_RUN, stderr=said)


def feed(shells: Shells, argv: Argv, chunks: Iterable[bytes], *, silence: timedelta) -> Completed:
    """Run a command and stream to its stdin. What the iterator raises ends the command."""
    if refused := _too_long(argv):
        return refused
    rest = iter(chunks)
    # what is asked at the far side to know how to begin needs no session beside the stream's
    begin = next(rest, b"")
    stream = Stream(shells, argv, silence)
    try:
        for chunk in chain([begin], rest):
            left = memoryview(chunk)
            while left:
                left = stream.push(left)
                del stream.stdout[MOST_OUTPUT:]
            if stream.done:
                break
        stream.close_stdin()
        while stream.pull():
            del stream.stdout[MOST_OUTPUT:]
        return stream.completed()
    finally:
        stream.close()


class Reading:
    """The `Output` of a command at the far side."""

    def __init__(
        self, shells: Shells, argv: Argv, *, silence: timedelta, stdin: bytes = b""
    ) -> None:
        self._shells = shells
        self._argv = argv
        self._silence = silence
        self._left = memoryview(stdin)
        self._stream: Stream | None = None
        self._refused = _too_long(argv)

    def __enter__(self) -> Self:
        """Start the command."""
        if not self._refused:
            self._stream = Stream(self._shells, self._argv, self._silence)
            if not self._left:
                self._stream.close_stdin()
        return self

    def __exit__(self, *_: object) -> None:
        """End the command if it still runs."""
        if self._stream:
            self._stream.close()

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, all that is left if it is negative; b"" at the end."""
        if self._stream is None:
            return b""
        while (size < 0 or not self._stream.stdout) and size and self._move(self._stream):
            pass
        came = self._stream.stdout
        taken = len(came) if size < 0 else size
        data = bytes(came[:taken])
        del came[:taken]
        return data

    def end(self) -> Completed:
        """Return exit code and stderr; what was not read is thrown away."""
        if self._refused or self._stream is None:
            return self._refused or Completed(argv=self._argv, exit_code=NOT_RUN)
        while self._move(self._stream):
            self._stream.stdout.clear()
        self._stream.stdout.clear()
        return self._stream.completed()

    def _move(self, stream: Stream) -> bool:
        if self._left:
            self._left = stream.push(self._left)
            if not self._left:
                stream.close_stdin()
            return not stream.done
        return stream.pull()
