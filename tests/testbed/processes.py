"""Helpers of tests that start real processes: run, start, stop, wait for a condition.

server = Process(["redis-server", "--port", "0"], log=directory / "redis.log")
wait_until(socket.exists, "redis listens")
server.stop()
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")

#: seconds that a condition may take on a loaded machine
LIMIT: Final = 60.0


def wait_until(condition: Callable[[], T], what: str, *, limit: float = LIMIT) -> T:
    """Return the first true value of `condition`; fail the test after `limit` seconds."""
    end = time.monotonic() + limit
    while not (value := condition()):
        if time.monotonic() > end:
            pytest.fail(f"after {limit:.0f} s still not: {what}; last value: {value!r}")
        time.sleep(0.05)
    return value


def free_ports(number: int) -> list[int]:
    """Return TCP ports of the loopback that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
    limit: float = LIMIT,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, whatever its exit code; its output is text."""
    given = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
    return subprocess.run(
        list(argv),
        env=env,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
        **given,
    )


def checked(
    argv: Sequence[str], *, env: Mapping[str, str] | None = None, limit: float = LIMIT
) -> str:
    """Run a command that has to succeed; return what it printed."""
    done = run(argv, env=env, limit=limit)
    if done.returncode:
        pytest.fail(f"{' '.join(argv)} exited with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def lives(pid: int) -> bool:
    """Return whether a process runs, of whomever it is a child: one that ended and was not waited for does not."""
    state = run(["ps", "-o", "stat=", "-p", str(pid)]).stdout.strip()
    return bool(state) and not state.startswith("Z")


class Process:
    """A background process in a session of its own; what it prints goes to a file.

    With `follow=True` its standard input is a pipe that closes when this process ends, however it ends.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        follow: bool = False,
    ) -> None:
        self.argv = tuple(argv)
        self.log = log
        with log.open("ab") as out:
            self._popen = subprocess.Popen(
                self.argv,
                env=env,
                cwd=cwd,
                stdin=subprocess.PIPE if follow else subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Process id, and id of the process group."""
        return self._popen.pid

    def alive(self) -> bool:
        """Return whether it still runs."""
        return self._popen.poll() is None

    def text(self) -> str:
        """Return what it printed so far."""
        return self.log.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process alone."""
        if self.alive():
            os.kill(self.pid, number)

    def wait(self, limit: float = LIMIT) -> int:
        """Wait for its end; return its exit code, negative for a signal."""
        try:
            code = self._popen.wait(limit)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{self.argv[0]} did not end in {limit:.0f} s; it printed:\n{self.text()}")
        if self._popen.stdin:
            self._popen.stdin.close()
        return code

    def kill(self) -> None:
        """End the process and its group with SIGKILL, as a crash of the machine would."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()

    def stop(self, limit: float = 20.0) -> int:
        """Ask it to end; make it end after `limit` seconds."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            self._popen.wait(limit)
        except subprocess.TimeoutExpired:
            self.kill()
        return self.wait()
