"""Looks between two ticks: on a hint in the spool, when one is due, and not at all while nothing is out."""

from __future__ import annotations

import threading

from jobferry_worker.watch import Rhythm, Watch
from tests.testbed.processes import wait_until


class Cluster:
    """What a watch looks at."""

    def __init__(self, rhythms: list[Rhythm | None]) -> None:
        self.rhythms = rhythms
        self.looks = 0
        self.hint = threading.Event()
        self.watch = Watch("alpha", look=self.look, arrived=self.arrived)

    def look(self) -> Rhythm | None:
        self.looks += 1
        self.hint.clear()
        return self.rhythms.pop(0)

    def arrived(self) -> bool:
        return self.hint.is_set()

    def threads(self) -> int:
        return sum(thread.name == "watch-alpha" for thread in threading.enumerate())


LONG = Rhythm(next_look=3600, spool=0.01)


def test_a_hint_in_the_spool_is_answered_by_a_look() -> None:
    cluster = Cluster([LONG, None])
    cluster.watch.follow(LONG)
    cluster.hint.set()
    wait_until(lambda: cluster.looks == 1, "the look after the hint")
    cluster.hint.set()
    wait_until(lambda: cluster.looks == 2, "the next one")
    wait_until(lambda: not cluster.threads(), "the end of the thread")


def test_a_look_that_is_due_comes_without_a_hint() -> None:
    soon = Rhythm(next_look=0.02, spool=0.01)
    cluster = Cluster([soon, soon, None])
    cluster.watch.follow(soon)
    wait_until(lambda: cluster.looks == 3, "three looks")


def test_while_nothing_is_out_there_is_no_thread() -> None:
    cluster = Cluster([])
    cluster.watch.follow(None)
    assert cluster.threads() == 0


def test_waking_looks_at_once() -> None:
    cluster = Cluster([None, None])
    cluster.watch.wake()
    wait_until(lambda: cluster.looks == 1, "the look")
    wait_until(lambda: not cluster.threads(), "the end of the thread")
    cluster.watch.wake()
    wait_until(lambda: cluster.looks == 2, "the look after waking it again")


def test_a_stopped_watch_looks_no_more() -> None:
    cluster = Cluster([LONG] * 9)
    cluster.watch.follow(LONG)
    cluster.watch.stop()
    wait_until(lambda: not cluster.threads(), "the end of the thread")
    cluster.hint.set()
    cluster.watch.wake()
    assert cluster.looks == 0
