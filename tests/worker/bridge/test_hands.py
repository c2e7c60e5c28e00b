"""Threads that carry: each thing once at a time, a few at once, and none that stays."""

from __future__ import annotations

import threading

from jobferry_worker.bridge.hands import Hands
from tests.testbed.processes import wait_until


def test_a_thing_is_done_by_one_at_a_time() -> None:
    hands, go, done = Hands(3), threading.Event(), []

    def work() -> None:
        go.wait(60)
        done.append(1)

    ends = [hands.take("a", work) for _ in range(5)]
    go.set()
    assert all(end.wait(60) for end in ends)
    assert done == [1]
    hands.take("a", work).wait(60)
    assert done == [1, 1]


def test_so_many_are_at_work_at_once_and_none_stays() -> None:
    hands, go = Hands(2), threading.Event()
    started: list[str] = []

    def work(name: str) -> None:
        started.append(name)
        go.wait(60)

    ends = [hands.take(name, lambda name=name: work(name)) for name in "abcd"]  # type: ignore[misc]
    wait_until(lambda: len(started) == 2, "two are at work")
    assert started == ["a", "b"]
    go.set()
    assert all(end.wait(60) for end in ends)
    assert sorted(started) == ["a", "b", "c", "d"]
    wait_until(lambda: hands.threads == 0, "no thread is left")


def test_what_fails_stops_nobody() -> None:
    hands, done = Hands(1), threading.Event()

    def fail() -> None:
        msg = "no"
        raise RuntimeError(msg)

    assert hands.take("a", fail).wait(60)
    assert hands.take("b", done.set).wait(60)
    assert done.is_set()
