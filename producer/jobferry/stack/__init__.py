"""The embedded stack: a private broker with a worker and a beat, for a user who has set up nothing.

    url = stack.ensure_broker(settings)     # starts it, or joins the one that runs
    print(stack.status(settings))
    stack.down(settings)

It listens on a unix socket in a directory of the user's own, writes every change to disk before it answers, and
ends by itself when nobody needs it. All commands of a user on one host share one stack.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jobferry.stack.home import Home
from jobferry.stack.launch import answers, has_worker, launch, wait_for
from jobferry.stack.record import held, is_alive, read_record, refuse_elsewhere
from jobferry_common.errors import BrokerUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobferry.stack.record import Record
    from jobferry_common.settings import Settings

__all__ = ["Status", "down", "ensure", "ensure_broker", "revive", "status", "up"]

_BUSY: Final = "Another command is starting or stopping the embedded stack"


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What is known of the stack of this home directory."""

    runs: bool  #: on this host, as far as its supervisor is concerned
    host: str | None  #: where it runs, or was left when that host went away
    pid: int | None  #: of its supervisor
    started: float | None  #: Unix time in seconds
    worker: bool  #: True when its worker takes work
    directory: str  #: of its data and logs

    @property
    def url(self) -> str | None:
        """The broker's URL, with its password; None when the stack does not run here."""
        return Home.at(Path(self.directory)).url() if self.runs else None

    def __str__(self) -> str:
        """Return one line for people."""
        place = f"data and logs in {self.directory}"
        if self.started is None:
            return f"The embedded stack is stopped; {place}."
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.started))
        where = f"on {self.host}, pid {self.pid}, since {since}"
        worker = "" if self.worker or not self.runs else "; its worker is not ready yet"
        return f"The embedded stack runs {where}{worker}; {place}."


def ensure(settings: Settings) -> Settings:
    """Return settings with a broker: their own, or the embedded one, which is started if need be.

    Raises:
        BrokerUnreachable: it cannot be started, or it runs on another host.
    """
    return settings if settings.broker else settings.with_broker(ensure_broker(settings))


def ensure_broker(settings: Settings) -> str:
    """Start the embedded stack, or join the one that runs; return its broker's URL.

    Raises:
        BrokerUnreachable: it cannot be started, or it runs on another host.
    """
    home = Home.of(settings)
    if not _serves(home, settings):
        with held(home.lock, patience_seconds=settings.stack.start_seconds, what=_BUSY):
            if not _serves(home, settings):
                _start(home, settings)
    return home.url()


def revive(settings: Settings) -> bool:
    """Start a stack again whose supervisor was killed; what ended as it should leaves no record and stays away.

    Raises:
        BrokerUnreachable: it cannot be started.
    """
    home = Home.of(settings)
    record = read_record(home)
    if record is None or not record.is_here or is_alive(home):
        return False
    ensure_broker(settings)
    return True


def up(settings: Settings) -> Status:
    """Start the embedded stack and wait until its worker takes work, too."""
    ensure_broker(settings)
    home = Home.of(settings)
    wait_for(
        lambda: has_worker(home, settings),
        lambda: None if is_alive(home) else "it has ended",
        home=home,
        seconds=settings.stack.start_seconds,
    )
    return status(settings)


def down(settings: Settings) -> Status:
    """Stop the embedded stack; its data stays, and with it the work it has accepted.

    Raises:
        BrokerUnreachable: it runs on another host, or does not end.
    """
    home = Home.of(settings)
    with held(home.lock, patience_seconds=settings.stack.start_seconds, what=_BUSY):
        record = read_record(home)
        refuse_elsewhere(home, record)
        if record is not None and is_alive(home):
            _end(home, record, settings)
        _tidy(home, settings)
    return status(settings)


def status(settings: Settings) -> Status:
    """Return whether and where the embedded stack runs; starts nothing."""
    home = Home.of(settings)
    record = read_record(home)
    runs = record is not None and record.is_here and is_alive(home)
    if record is not None and record.is_here and not runs:
        record = None
    return Status(
        runs=runs,
        host=record.host if record else None,
        pid=record.pid if record else None,
        started=record.started if record else None,
        worker=runs and has_worker(home, settings),
        directory=str(home.directory),
    )


def _serves(home: Home, settings: Settings) -> bool:
    refuse_elsewhere(home, read_record(home))
    return is_alive(home) and answers(home, settings)


def _start(home: Home, settings: Settings) -> None:
    failure: Callable[[], str | None]
    if is_alive(home):
        # its server is being started, or started again
        failure = _ended(home)
    else:
        _tidy(home, settings)
        failure = launch(home)
    seconds = settings.stack.start_seconds
    wait_for(lambda: answers(home, settings), failure, home=home, seconds=seconds)


def _ended(home: Home) -> Callable[[], str | None]:
    return lambda: None if is_alive(home) else "its supervisor has ended"


def _end(home: Home, record: Record, settings: Settings) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(record.pid, signal.SIGTERM)
    end = time.monotonic() + 2 * (settings.timings.soft_stop_seconds + 15)
    while is_alive(home):
        if time.monotonic() > end:
            msg = f"The embedded stack does not end: its supervisor is pid {record.pid} on {record.host}."
            raise BrokerUnreachable(msg)
        time.sleep(0.05)


def _tidy(home: Home, settings: Settings) -> None:
    """Remove what a supervisor that was killed left behind: its server, its socket, its record."""
    with contextlib.suppress(OSError), contextlib.closing(socket.socket(socket.AF_UNIX)) as probe:
        probe.settimeout(1)
        probe.connect(str(home.socket))
        _end_server(home, settings)
    home.socket.unlink(missing_ok=True)
    home.record.unlink(missing_ok=True)


def _end_server(home: Home, settings: Settings) -> None:
    from jobferry_common.broker import connect, guarded

    redis = connect(home.url(), check=False)
    with contextlib.suppress(BrokerUnreachable), guarded(str(home.socket)):
        redis.shutdown()
    redis.close()
