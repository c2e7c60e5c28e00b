"""Who runs a stack, and whether it lives.

A process id says nothing on another host, and little on this one once ids were used again. So life is a lock
that the supervisor holds and the kernel takes from it; host and pid are there for messages and signals.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from jobferry.stack.home import write_private
from jobferry_common.errors import BrokerUnreachable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jobferry.stack.home import Home


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Which process supervises the stack, and where."""

    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    started: float = field(default_factory=time.time)  #: Unix time in seconds

    @property
    def is_here(self) -> bool:
        """True when it is of this host."""
        return self.host == socket.gethostname()

    def write(self, home: Home) -> None:
        """Put the record in its place."""
        write_private(home.record, json.dumps(asdict(self)))


def read_record(home: Home) -> Record | None:
    """Return the record; None when there is none, or when it cannot be read."""
    try:
        return Record(**json.loads(home.record.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def refuse_elsewhere(home: Home, record: Record | None) -> None:
    """Raise `BrokerUnreachable` when the stack of this directory is another host's."""
    if record is None or record.is_here:
        return
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(record.started))
    msg = (
        f"The embedded stack of this home directory runs on {record.host} (pid {record.pid}, since "
        f"{since}); this is {socket.gethostname()}. Work there, or stop it there with `jobferry down`. "
        f"If that host is gone for good, remove {home.record}. For several hosts, set `broker` to one "
        "that all of them reach."
    )
    raise BrokerUnreachable(msg)


def is_alive(home: Home) -> bool:
    """Return True while a supervisor of this host holds its lock."""
    with _opened(home.alive) as descriptor:
        return not _locked(descriptor, fcntl.LOCK_SH)


@contextmanager
def held(path: Path, *, patience_seconds: float, what: str) -> Iterator[int]:
    """Hold a lock, waiting for it if need be; yield its descriptor.

    Raises:
        BrokerUnreachable: it was not to be had in time.
    """
    end = time.monotonic() + patience_seconds
    with _opened(path) as descriptor:
        while not _locked(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > end:
                msg = f"{what}: {path} has been held for {patience_seconds:.0f} s. Try again later."
                raise BrokerUnreachable(msg)
            time.sleep(0.02)
        yield descriptor


def is_in_place(path: Path, descriptor: int) -> bool:
    """Return False when the file of a lock was removed, or another was put in its place."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
    except OSError:
        return True


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        msg = f"The embedded stack cannot open {path}: {error.strerror}."
        raise BrokerUnreachable(msg) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
