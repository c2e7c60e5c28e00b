"""Ranges of array elements."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobferry_common.errors import UnreadableOutput
from jobferry_common.names import SchedulerId
from jobferry_common.schedulers.base import Phase, Seen
from jobferry_common.schedulers.elements import Indices, Jobs, Joined, compact, indices

SEVEN = SchedulerId("7")
FORM = Joined("_")


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("0", [0]),
        ("2-3%2", [2, 3]),
        ("1,3,5-9:2", [1, 3, 5, 7, 9]),
        ("5-1", []),
        ("0-10:5,1", [0, 1, 5, 10]),
    ],
)
def test_a_list_of_indices_is_read(text: str, members: list[int]) -> None:
    assert list(indices(text)) == members
    assert len(indices(text)) == len(members)
    assert all(index in indices(text) for index in members)
    assert -1 not in indices(text)
    assert 11 not in indices(text)


@pytest.mark.parametrize("text", ["", "a", "1,", "1-", "1,3,...", "-1", "1 2", "0-99999999999"])
def test_what_is_no_list_of_indices_is_not_guessed(text: str) -> None:
    with pytest.raises(UnreadableOutput):
        indices(text)


@given(st.sets(st.integers(0, 300), min_size=1))
def test_compact_and_indices_are_inverse(members: set[int]) -> None:
    found = compact((SchedulerId(f"7_{index}") for index in members), FORM)[SEVEN]
    assert found is not None
    assert set(indices(found)) == members


def test_what_is_told_alone_outweighs_what_is_told_together() -> None:
    one = SchedulerId("7_1")
    jobs = Jobs(
        {one: Seen(id=one, phase=Phase.RUNNING)},
        {SEVEN: [(Indices([range(3)]), Seen(id=SEVEN, phase=Phase.QUEUED))]},
        FORM,
    )
    assert jobs[one].phase is Phase.RUNNING
    assert jobs[SchedulerId("7_2")] == Seen(id=SchedulerId("7_2"), phase=Phase.QUEUED)
    assert sorted(jobs) == ["7_0", "7_1", "7_2"]
    assert len(jobs) == 3


@pytest.mark.parametrize("key", ["7", "7_3", "7_", "7_x", "8_0", ""])
def test_what_was_not_told_is_unknown(key: str) -> None:
    jobs = Jobs({}, {SEVEN: [(Indices([range(3)]), Seen(id=SEVEN, phase=Phase.QUEUED))]}, FORM)
    assert SchedulerId(key) not in jobs


@pytest.mark.parametrize(
    ("form", "element"), [(Joined("_"), "7_3"), (Joined("."), "7.3"), (Joined("[", "]"), "7[3]")]
)
def test_an_element_is_told_from_its_array(form: Joined, element: str) -> None:
    assert form.element(SEVEN, 3) == element
    assert form.split(SchedulerId(element)) == (SEVEN, 3)


@pytest.mark.parametrize("key", ["7", "7[", "7[]", "7[x]", "7[3", "7[3]x", "7_3", ""])
def test_what_is_no_element_stays_whole(key: str) -> None:
    assert Joined("[", "]").split(SchedulerId(key)) == (key, None)
