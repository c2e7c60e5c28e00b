"""Threads that carry: a few at a time, each thing by one of them only, and none that keeps a worker from ending.

hands = Hands(4)
hands.take("jf.3f2a…", lambda: carry("jf.3f2a…")).wait(10)
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

logger: Final = logging.getLogger(__name__)


class Hands:
    """Daemon threads that end when there is nothing left to do."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._waiting: deque[tuple[str, Callable[[], None]]] = deque()
        self._known: dict[str, threading.Event] = {}
        #: at work now
        self.threads = 0

    def take(self, key: str, work: Callable[[], None]) -> threading.Event:
        """Do it soon, unless something of this key is waiting or being done; return what is set at its end."""
        with self._lock:
            if key in self._known:
                return self._known[key]
            done = self._known[key] = threading.Event()
            self._waiting.append((key, work))
            if self.threads < self._most:
                self.threads += 1
                threading.Thread(target=self._serve, name="bridge", daemon=True).start()
            return done

    def _serve(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self.threads -= 1
                    return
                key, work = self._waiting.popleft()
            try:
                work()
            except Exception:
                logger.exception("Carrying %s failed.", key, extra={"action": "bridge"})
            finally:
                with self._lock:
                    self._known.pop(key).set()
