"""The clock by which leases are held: it counts the time for which this process, or the machine, was stopped."""

from __future__ import annotations

import time

import pytest

from jobferry_worker import clock
from jobferry_worker.clock import Hold, now


def test_a_clock_that_is_set_back_moves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    first = now()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    monkeypatch.setattr(
        time, "monotonic", lambda: 0.0
    )  # stands still while the machine is suspended
    assert now() >= first
    assert now() == pytest.approx(time.clock_gettime(time.CLOCK_BOOTTIME), abs=60)


def test_a_lease_is_renewed_after_a_while_and_not_at_each_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[float] = []
    times = [100.0]
    monkeypatch.setattr(clock, "now", lambda: times[-1])
    hold = Hold(lambda: seen.append(times[-1]))
    for later in (100.0, 105.0, 112.0, 113.0, 3700.0):
        times.append(later)
        hold.keep()
    assert seen == [112.0, 3700.0]
    hold.renew()
    assert seen == [112.0, 3700.0, 3700.0]


def test_a_lease_that_was_lost_is_told_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost() -> None:
        raise InterruptedError

    hold = Hold(lost)
    monkeypatch.setattr(clock, "_RENEW_SECONDS", 0.0)
    for _ in range(2):
        with pytest.raises(InterruptedError):
            hold.keep()
