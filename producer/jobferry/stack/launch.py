"""Starting a stack's supervisor in the background, and waiting until it serves."""

from __future__ import annotations

import os
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from jobferry.stack.child import rotate
from jobferry_common.broker import connect, guarded
from jobferry_common.errors import BrokerUnreachable
from jobferry_common.messages import INLINE, SIGN_OF_LIFE_SECONDS, client_key, worker_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobferry.stack.home import Home
    from jobferry_common.settings import Settings

_POLL_SECONDS: Final = 0.02
_PATIENCE: Final = timedelta(seconds=2)
_SHOWN_LINES: Final = 5


def answers(home: Home, settings: Settings) -> bool:
    """Tell the broker that a client is there; False when it does not answer."""
    try:
        with guarded(str(home.socket)):
            redis = connect(home.url(), timeout=_PATIENCE, check=False)
            try:
                redis.set(client_key(settings), os.getpid(), ex=SIGN_OF_LIFE_SECONDS)
            finally:
                redis.close()
    except BrokerUnreachable:
        return False
    return True


def has_worker(home: Home, settings: Settings) -> bool:
    """Return True when the stack's worker takes work."""
    try:
        with guarded(str(home.socket)):
            redis = connect(home.url(), timeout=_PATIENCE, check=False)
            try:
                return worker_of(redis, settings, INLINE) is not None
            finally:
                redis.close()
    except BrokerUnreachable:
        return False


def launch(home: Home) -> Callable[[], str | None]:
    """Start a supervisor in a session of its own; return what asks how it failed, None while it lives."""
    log = home.log("supervisor")
    rotate(log)
    known = log.stat().st_size if log.exists() else 0
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = os.posix_spawn(
        sys.executable,
        # -P: nothing is imported from the directory where the user happens to be
        [sys.executable, "-P", "-m", "jobferry.stack.supervisor"],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )

    def failure() -> str | None:
        try:
            ended, how = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            ended, how = pid, 0
        if ended != pid:
            return None
        with log.open("rb") as file:
            file.seek(known)
            lines = file.read().decode("utf-8", "replace").strip().splitlines()
        by = f" by signal {os.WTERMSIG(how)}" if os.WIFSIGNALED(how) else ""
        return "\n".join(lines[-_SHOWN_LINES:]) or f"it was ended{by} without a word; try again"

    return failure


def wait_for(
    condition: Callable[[], bool], failure: Callable[[], str | None], *, home: Home, seconds: float
) -> None:
    """Wait until the stack serves.

    Raises:
        BrokerUnreachable: its supervisor ended, or it took too long.
    """
    end = time.monotonic() + seconds
    while not condition():
        if reason := failure():
            msg = f"The embedded stack did not start: {reason}\nIts logs are in {home.log('').parent}."
            raise BrokerUnreachable(msg)
        if time.monotonic() > end:
            msg = (
                f"The embedded stack does not answer after {seconds:.0f} s: see the logs in "
                f"{home.log('').parent}, or stop it with `jobferry down` and try again."
            )
            raise BrokerUnreachable(msg)
        time.sleep(_POLL_SECONDS)
