"""Words that depend on a number."""

from __future__ import annotations

from jobferry_common.words import are, counted


def test_one_thing_is_and_many_are() -> None:
    assert [counted(number, "run") for number in (0, 1, 2)] == ["0 runs", "1 run", "2 runs"]
    assert [are(number, "task") for number in (1, 2)] == ["1 task is", "2 tasks are"]
