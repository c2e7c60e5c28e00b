"""Somebody who closes a connection on which a call hangs: a send to a link that takes nothing knows no limit.

with watch.over(transport, until=time.monotonic() + 60) as guard:
    channel.send(data)
    guard.until = time.monotonic() + 60      # it moved
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import paramiko

logger: Final = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 0.5
#: how long the thread stays when there is nothing to watch
_LINGER_SECONDS: Final = 30.0


@dataclass(slots=True, eq=False)
class Guard:
    """A call that is watched."""

    transport: paramiko.Transport
    until: float  #: when it is given up


class Watch:
    """One thread that looks at all calls on a host's connection; it ends when it has nothing to do."""

    def __init__(self, give_up: Callable[[paramiko.Transport], None]) -> None:
        self._give_up = give_up
        self._guards: set[Guard] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextmanager
    def over(self, transport: paramiko.Transport, until: float) -> Iterator[Guard]:
        """Watch over what happens in the block."""
        guard = Guard(transport, until)
        with self._lock:
            self._guards.add(guard)
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="ssh-watch", daemon=True)
                self._thread.start()
        try:
            yield guard
        finally:
            with self._lock:
                self._guards.discard(guard)

    def _look(self) -> None:
        last = time.monotonic()
        while True:
            time.sleep(_LOOK_SECONDS)
            now = time.monotonic()
            with self._lock:
                late = {guard.transport for guard in self._guards if guard.until < now}
                last = now if self._guards else last
                if now - last > _LINGER_SECONDS:
                    self._thread = None
                    return
            for transport in late:
                logger.warning("An ssh connection took nothing for too long; it is closed.")
                self._give_up(transport)
