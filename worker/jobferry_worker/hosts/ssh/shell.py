r"""One long-lived shell on a cluster: a line and its stdin go out, an exit code and two outputs come back.

shell = Shell.start(transport, login=True, is_reachable=lambda: True)
shell.ask('jf_read /etc/hostname', until=time.monotonic() + 30)       # Answer(code=0, stdout=b"=0\n.6\nhpc1\n\n", …)

What a command prints stands between two marks that bear a random number of that command alone. The login shell may be
any: it only has to carry out `exec /bin/sh`, and may print what it likes before. The profile of a login is
read by a bash of its own, whose output is thrown away and which has nothing to read.
"""

from __future__ import annotations

import importlib.resources as package
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from jobferry_common.scripts.quoting import word
from jobferry_worker.hosts.ssh.channel import BROKEN, EMPTY, Wire, open_session

if TYPE_CHECKING:
    from collections.abc import Callable

    import paramiko

#: what one command may print, on both outputs together
MOST_OUTPUT: Final = 64 * 1024 * 1024
#: a login may take long where home directories are slow
START_SECONDS: Final = 60.0
#: what a command may take on its way, until it is not started any more
_LATE_SECONDS: Final = 2
#: how often it is looked whether the shell still is; what its last words may take
_LOOK_SECONDS: Final = 0.5
#: after how much silence it is asked whether anything comes over the connection
_CHECK_SECONDS: Final = 15.0
_LAST_SECONDS: Final = 1.0
_LONG_LINE: Final = 16 * 1024
_FAR: Final = package.files(__package__).joinpath("far.sh").read_bytes()
#: the first shell stays: a server says nothing of a process that was killed, but of one that ends
_BASH: Final = "bash -p; exit $?"
#: the profile gets nothing to read, and what it prints is lost
_LOGIN: Final = (
    "exec 3<&0 4>&1 5>&2; "
    "bash -l -c 'exec bash -p <&3 >&4 2>&5 3<&- 4>&- 5>&-' </dev/null >/dev/null 2>&1; exit $?"
)


class ShellGone(Exception):  # noqa: N818 - reads better than ...Error
    """The shell cannot be used any more; what became of the command is not known."""


class ShellEnded(ShellGone):
    """It ended, while the connection lives on."""


class ShellSilent(ShellGone):
    """It did not answer in time."""


class ShellFlooded(ShellGone):
    """The command printed more than is taken."""


class ShellUnbegun(ShellGone):
    """The command was certainly not started: it came too late, or the shell had ended before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command left behind."""

    code: int
    stdout: bytes
    stderr: bytes


class Shell:
    """A shell at the far end of a channel; for one thread at a time."""

    def __init__(
        self, wire: Wire, transport: paramiko.Transport, is_reachable: Callable[[], bool]
    ) -> None:
        self._wire = wire
        self.transport = transport
        self._is_reachable = is_reachable
        self._started = time.monotonic()
        #: its process on the far side; 0 until it is known
        self.process = 0
        #: PATH as it is after the login
        self.path = ""
        #: no further command should be given to it
        self.worn = False

    @classmethod
    def start(
        cls,
        transport: paramiko.Transport,
        *,
        login: bool,
        is_reachable: Callable[[], bool],
        opening: str = "",
    ) -> Shell:
        """Start one, which runs `opening` first, in itself; raises `ShellGone`.

        Args:
            transport: a connection.
            login: as at a login.
            is_reachable: whether anything comes over the connection.
            opening: a command.
        """
        try:
            channel = open_session(transport, timeout=START_SECONDS)
            shell = cls(Wire(channel), transport, is_reachable)
            channel.settimeout(START_SECONDS)
            channel.exec_command("exec /bin/sh")
            shell._begin(login=login, opening=opening)
        except BROKEN as error:
            msg = f"no shell could be started: {_words(error)}"
            raise ShellGone(msg) from error
        except ShellSilent as error:
            msg = f"no shell could be started: {error}; ~/.bashrc or ~/.profile there may wait for something"
            raise ShellSilent(msg) from error
        return shell

    @property
    def usable(self) -> bool:
        """Whether another command may be given to it."""
        return not self.worn and not self._wire.channel.closed and not self._wire.ended

    def ask(self, line: str, *, stdin: bytes = b"", until: float) -> Answer:
        """Run one line of functions of this shell; it is not started long after it was sent.

        Raises:
            ShellGone: it is not known whether the line was carried out, unless it says `ShellUnbegun`.
        """
        nonce = secrets.token_hex(16)
        # a long line is read for a long time
        gap = "\n" if len(line) > _LONG_LINE else "; "
        text = f"{self._beginning(nonce)}{gap}{line}; jf_end {nonce} $?\n"
        return self._exchange(nonce, _bytes(text) + stdin, until)

    def command(self, body: str, *, stdin: bytes = b"", until: float) -> Answer:
        """Run one command in the background of the shell, and wait for it; raises as `ask` does."""
        nonce = secrets.token_hex(16)
        source, feed, drain = "/dev/null", "", ""
        if stdin:
            source, feed, drain = "&6 6<&-", f"jf_feed {len(stdin)}; ", "; jf_drain"
        text = (
            f"{self._beginning(nonce)}; {feed}{{ {body}; }} <{source} >&8 2>&9 8>&- 9>&- & "
            f"jf_wait $!{drain}; jf_end {nonce} $jf_code $jf_left\n"
        )
        return self._exchange(nonce, _bytes(text) + stdin, until)

    def _beginning(self, nonce: str) -> str:
        """Return what starts a command, unless it comes so late that nobody counts on it any more."""
        latest = int(time.monotonic() - self._started) + _LATE_SECONDS
        return f"jf_begin {nonce} {latest}"

    def close(self) -> None:
        """End it."""
        self.worn = True
        self._wire.close()

    def _begin(self, *, login: bool, opening: str) -> None:
        """Go from the user's login shell to a bash that knows what it needs.

        A plain `sh` may read ahead: nothing is sent to it before it has carried out what it has.
        """
        first, second = secrets.token_hex(16), secrets.token_hex(16)
        until = time.monotonic() + START_SECONDS
        # the marks are broken, so that a shell that repeats what it reads does not look ready
        line = f"printf '%s%s\\n' {first[:9]} {first[9:]}; {_LOGIN if login else _BASH}\n"
        self._move(line.encode(), until, lambda out: f"{first}\n".encode() in out)
        self._wire.stdout.clear()
        self._started = time.monotonic()
        ready = f"printf '%s%s %s %s\\n' {second[:9]} {second[9:]} $$ \"$PATH\" >&8; SECONDS=0\n"
        self._move(
            _FAR + _bytes(f"eval {word(opening)} </dev/null\n" if opening else "") + ready.encode(),
            until,
            lambda out: second.encode() in out and out.endswith(b"\n"),
        )
        words = bytes(self._wire.stdout).partition(second.encode())[2].decode("utf-8", "replace")
        process, _, self.path = words.strip().partition(" ")
        self.process = int(process)
        self._wire.stdout.clear()
        self._wire.stderr.clear()

    def _move(self, data: bytes, until: float, done: Callable[[bytearray], bool]) -> None:
        """Send data and receive until enough has come."""
        wire, pending = self._wire, memoryview(data)
        moved, check = -1, 0.0
        while not done(wire.stdout):
            if wire.ended or wire.channel.exit_status_ready():
                self._raise_ended(wire)
            now = time.monotonic()
            if now >= until:
                self._raise(ShellSilent, "it did not answer in time")
            if wire.moved != moved:
                moved, check = wire.moved, now + _CHECK_SECONDS
            elif now >= check:
                if not self._is_reachable():
                    self._raise(ShellSilent, "nothing came over the connection any more")
                check = time.monotonic() + _CHECK_SECONDS
            if len(wire.stdout) + len(wire.stderr) > MOST_OUTPUT:
                mebibytes = MOST_OUTPUT >> 20
                self._raise(ShellFlooded, f"more than {mebibytes} MiB were printed")
            pending = wire.move(pending, min(until, now + _LOOK_SECONDS))

    def _raise_ended(self, wire: Wire) -> NoReturn:
        """Tell why there is no shell: all that it printed has come only if nobody else can print any more."""
        until = time.monotonic() + _LAST_SECONDS
        while not wire.ended and time.monotonic() < until:
            wire.move(EMPTY, until)
        if wire.channel.eof_received:
            self._raise(ShellEnded, f"its shell ended{_said(wire.stderr)}")
        status = wire.channel.exit_status_ready() and self.transport.is_active()
        self._raise(ShellGone, "its shell ended" if status else "the connection broke")

    def _exchange(self, nonce: str, data: bytes, until: float) -> Answer:
        frame = _Frame(nonce)
        self._wire.stdout.clear()
        self._wire.stderr.clear()
        try:
            self._move(data, until, lambda out: frame.is_whole(out, self._wire.stderr))
        except BROKEN as error:
            self.close()
            msg = f"the connection broke: {_words(error)}"
            raise ShellGone(msg) from error
        except ShellEnded as error:
            # all that it printed has come, and it prints before it starts anything
            if not frame.has_begun(self._wire.stdout):
                raise ShellUnbegun(str(error)) from error
            raise
        answer = frame.answer(self._wire.stdout, self._wire.stderr)
        if frame.is_late:
            self._raise(ShellUnbegun, "the command arrived too late to be started")
        self.worn = frame.is_torn
        return answer

    def _raise(self, error: type[ShellGone], words: str) -> NoReturn:
        self.close()
        raise error(words)


class _Frame:
    """The marks around one command's output, and what they say."""

    def __init__(self, nonce: str) -> None:
        self._begin = f"{nonce}<".encode()
        self._end = f"{nonce}>".encode()
        self._looked = [0, 0]
        self._at = [-1, -1]
        self.is_late = False
        #: something printed besides the command, or goes on printing
        self.is_torn = False

    def is_whole(self, stdout: bytearray, stderr: bytearray) -> bool:
        """Tell whether both ends are there."""
        for index, text in enumerate((stdout, stderr)):
            if self._at[index] < 0:
                self._at[index] = text.find(self._end, self._looked[index])
                self._looked[index] = max(0, len(text) - len(self._end))
        return min(self._at) >= 0 and b"\n" in stdout[self._at[0] :]

    def has_begun(self, stdout: bytearray) -> bool:
        """Tell whether the far side set about it."""
        return self._begin in stdout

    def answer(self, stdout: bytearray, stderr: bytearray) -> Answer:
        """Read it."""
        words = bytes(stdout[self._at[0] + len(self._end) :]).partition(b"\n")
        code, left = words[0].split()
        outputs = [
            bytes(text[:at]).partition(self._begin)
            for text, at in zip((stdout, stderr), self._at, strict=True)
        ]
        self.is_late = code == b"late"
        strays = words[2], *(before for before, _, _ in outputs)
        self.is_torn = left == b"1" or any(strays)
        number = 0 if self.is_late else int(code)
        return Answer(code=number, stdout=outputs[0][2], stderr=outputs[1][2])


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _said(stderr: bytearray) -> str:
    """Return the last words, without the mark of a command before them."""
    words = bytes(stderr[-500:]).decode("utf-8", "replace").rpartition("<")[2].strip()
    return f"; it said {words!r}" if words else ""
