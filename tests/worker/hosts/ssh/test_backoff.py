"""When a host is tried again."""

from __future__ import annotations

import pytest

from jobferry_common.errors import HostKeyRefused, HostUnreachable, LoginRefused
from jobferry_common.ssh.totp import CodeUsed
from jobferry_worker.hosts.ssh.backoff import Backoff, Patience


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def rests(error: HostUnreachable, number: int) -> list[float]:
    clock = Clock()
    backoff = Backoff(Patience(), clock)
    found = []
    for _ in range(number):
        backoff.failed(error)
        found.append(backoff.rest())
        clock.now += backoff.rest() + 0.001
        assert backoff.rest() == 0
    return found


@pytest.mark.parametrize("error", [HostUnreachable("x"), HostKeyRefused("x")])
def test_pauses_double_up_to_a_minute(error: HostUnreachable) -> None:
    found = rests(error, 50)
    for rest, longest in zip(found, [1, 2, 4, 8, 16, 32, 60, 60], strict=False):
        assert 0.75 * longest <= rest <= longest
    assert max(found) <= 60
    assert len(set(found[10:])) > 1


def test_a_refused_login_is_repeated_seldom() -> None:
    found = rests(LoginRefused("x"), 10)
    for rest, longest in zip(found, [60, 120, 240, 300, 300], strict=False):
        assert 0.75 * longest <= rest <= longest


def test_a_used_code_is_waited_out_and_counts_for_nothing() -> None:
    backoff = Backoff(Patience(), Clock())
    backoff.failed(CodeUsed(17))
    assert backoff.rest() == 17
    assert isinstance(backoff.resting(), LoginRefused)
    backoff.failed(HostUnreachable("x"))
    assert backoff.rest() <= 1


def test_in_the_meantime_the_reason_is_told() -> None:
    backoff = Backoff(Patience(), Clock())
    backoff.failed(HostKeyRefused("the key has changed"))
    error = backoff.resting()
    assert isinstance(error, HostKeyRefused)
    assert str(error) == "the key has changed"


def test_success_forgets_failures() -> None:
    clock = Clock()
    backoff = Backoff(Patience(), clock)
    for _ in range(5):
        backoff.failed(HostUnreachable("x"))
    backoff.opened()
    backoff.failed(HostUnreachable("x"))
    assert backoff.rest() <= 1


def test_what_breaks_again_and_again_is_opened_later_and_later() -> None:
    clock = Clock()
    backoff = Backoff(Patience(), clock)
    found = []
    for _ in range(4):
        clock.now += backoff.rest() + 0.001
        backoff.opened()
        backoff.was_lost("alice@hpc1:22")
        found.append(backoff.rest())
    assert found[0] == 0
    assert 0 < found[1] <= 1 < found[2] <= 2 < found[3] <= 4
    assert "again and again" in str(backoff.resting())
    clock.now += backoff.rest()
    backoff.opened()
    clock.now += 20.1
    backoff.was_lost("alice@hpc1:22")
    assert backoff.rest() == 0
