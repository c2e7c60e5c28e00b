"""The lease of a pass: taken once, renewed before each effect so that it outlasts the effect's limit.

with Lease.take(ledger, "cluster/hpc1", lasting=timedelta(seconds=30)) as lease:
    lease.keep(timedelta(seconds=60))      # now a command of 60 s may run
"""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import threading
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from jobferry_common.errors import JobferryError, LeaseLost
from jobferry_worker.clock import now

if TYPE_CHECKING:
    from types import TracebackType

    from jobferry_common.ledger import Ledger
    from jobferry_common.ledger.records import Fence

logger: Final = logging.getLogger(__name__)

_MARGIN: Final = timedelta(seconds=5)
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_NUMBERS: Final = Path("/proc/self/ns/pid")
#: of what `holder` returns, between colons
_PARTS: Final = 5
_serial: Final = count()


class Lease:
    """A lease that is held."""

    def __init__(self, ledger: Ledger, name: str, fence: Fence, lasting: timedelta) -> None:
        self._ledger = ledger
        self._name = name
        self._lasting = lasting
        self._until = now() + lasting.total_seconds()
        self.fence = fence

    @classmethod
    def take(cls, ledger: Ledger, name: str, lasting: timedelta) -> Lease | None:
        """Take the lease; None while somebody else has it.

        A lease of a process of this very machine that is dead is taken away at once: what that process may
        have left running is bounded by its time limit, and the claims stand against it.
        """
        me = holder()
        fence = ledger.acquire(name, me, lasting)
        if fence is None and (old := ledger.lease(name)) and is_dead(old.holder):
            logger.info("Took over from %s, which is gone.", old.holder, extra={"action": "take"})
            fence = ledger.acquire(name, me, lasting, displace=old.fence)
        return None if fence is None else cls(ledger, name, fence, lasting)

    def keep(self, effect: timedelta = timedelta(0)) -> None:
        """Make sure that the lease outlasts an effect that takes up to so long.

        Raises:
            LeaseLost: it is somebody else's now.
        """
        needed = max(effect + _MARGIN, self._lasting / 2)
        if now() + needed.total_seconds() < self._until:
            return
        lasting = max(effect + _MARGIN, self._lasting)
        if not self._ledger.renew(self._name, self.fence, lasting):
            msg = f"another worker holds {self._name} now, or the broker was restarted"
            raise LeaseLost(msg)
        self._until = now() + lasting.total_seconds()

    def __enter__(self) -> Self:
        """Return the lease."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the lease back; without a broker it ends by itself."""
        try:
            self._ledger.release(self._name, self.fence)
        except JobferryError as trouble:
            logger.debug("The lease ends by itself: %s", trouble, extra={"action": "release"})


def holder() -> str:
    """Return who holds a lease: `host:pid:start:machine:thread.serial`, so that its death can be seen."""
    pid = os.getpid()
    mine = f"{threading.get_ident()}.{next(_serial)}"
    return f"{socket.gethostname()}:{pid}:{_start_of(pid)}:{_machine()}:{mine}"


def is_dead(who: str) -> bool:
    """Return True if the holder was a process of this machine and is gone; False if that cannot be known."""
    parts = who.split(":")
    if len(parts) != _PARTS:
        return False
    _, pid, started, machine, _ = parts
    if not machine or machine != _machine() or not pid.isdecimal() or not started:
        return False
    return _start_of(int(pid)) != started


def _machine() -> str:
    """Return what tells whose processes we can see; empty if that is not known.

    Containers and cloned machines share host names, and count their processes anew.
    """
    try:
        boot = _BOOT.read_text(encoding="ascii").strip()
        numbers = _NUMBERS.readlink()
    except OSError:
        return ""
    return hashlib.sha256(f"{boot} {numbers} {os.geteuid()}".encode()).hexdigest()[:12]


def _start_of(pid: int) -> str:
    """Return when a process started, in clock ticks since boot; empty if it is gone or not to be seen."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    state, *fields = stat.rpartition(")")[2].split()
    return "" if state in "ZX" else fields[18]
