"""Actors: pieces of real code that take turns, one at a time, and may be stopped or killed at any effect.

    actor = Actor("w1 pass", process, lambda: advance(...))
    actor.resume()                 # runs until it pauses, ends or dies
    actor.pause(70.0)              # called by the actor itself: others run meanwhile

Each has a thread of its own, but only one thread ever runs: whoever has the baton.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Crash(BaseException):
    """The process is killed here."""


class Process:
    """What dies at once with all that it remembers."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.skew = 0.0  #: how far its clock is ahead

    def __repr__(self) -> str:
        return self.name


class Actor:
    """One call that a process makes."""

    def __init__(self, name: str, process: Process, work: Callable[[], None]) -> None:
        self.name = name
        self.process = process
        self.over = False
        #: how long it wants to be left alone now
        self.rest = 0.0
        self.error: BaseException | None = None
        self.work = work
        self._thread: _Thread | None = None

    def resume(self) -> None:
        """Let it run until it pauses or ends; what it raises is raised here."""
        if self._thread is None:
            self._thread = _idle.pop() if _idle else _Thread()
            self._thread.actor = self
        self.rest = 0.0
        self._thread.go.release()
        self._thread.back.acquire()
        if self.over:
            _idle.append(self._thread)
        if self.error:
            raise self.error

    def pause(self, seconds: float) -> None:
        """Give the baton back for so long."""
        if self._thread is None:
            return
        self.rest = seconds
        self._thread.back.release()
        self._thread.go.acquire()
        if not self.process.alive:
            raise Crash


class _Thread(threading.Thread):
    """Lives through one actor after the other."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.actor: Actor | None = None
        self.go, self.back = threading.Lock(), threading.Lock()
        self.go.acquire()
        self.back.acquire()
        self.start()

    def run(self) -> None:
        while True:
            self.go.acquire()
            actor = self.actor
            if actor is not None:
                self._live(actor)
            self.back.release()

    def _live(self, actor: Actor) -> None:
        try:
            actor.work()
        except Crash:
            pass
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever resumed
            actor.error = error
        actor.over = True


#: threads without an actor
_idle: list[_Thread] = []
