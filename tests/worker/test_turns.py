"""One pass at a time; whoever comes meanwhile is answered by one more."""

from __future__ import annotations

import threading

import pytest

from jobferry_worker.turns import Turn


def test_those_who_come_during_a_pass_get_one_more_together() -> None:
    turn = Turn()
    passes = []
    begun, go_on = threading.Event(), threading.Event()

    def work() -> None:
        passes.append(1)
        begun.set()
        assert go_on.wait(60)

    thread = threading.Thread(target=turn.take, args=(work,))
    thread.start()
    assert begun.wait(60)
    assert [turn.take(work) for _ in range(5)] == [False] * 5
    go_on.set()
    thread.join(60)
    assert len(passes) == 2
    assert turn.since is None


def test_a_turn_ends_though_somebody_comes_during_every_pass() -> None:
    turn = Turn()
    passes = []

    def work() -> None:
        passes.append(1)
        assert not turn.take(work)

    assert turn.take(work)
    assert (len(passes), turn.owed, turn.since) == (2, True, None)
    assert turn.take(lambda: None)
    assert not turn.owed


def test_a_pass_that_fails_lets_the_next_one_in() -> None:
    turn = Turn()

    def work() -> None:
        raise OSError

    with pytest.raises(OSError):
        turn.take(work)
    assert turn.take(lambda: None)


def test_it_is_known_since_when_a_pass_runs() -> None:
    turn = Turn()
    seen: list[float | None] = []
    turn.take(lambda: seen.append(turn.since))
    assert seen != [None]
