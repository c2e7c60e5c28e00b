"""How submissions are stored."""

from __future__ import annotations

import os
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from jobferry_common.document import TaskSpec
from jobferry_common.ledger.pages import (
    marks_of,
    pack_header,
    pack_page,
    pages_of,
    unpack_header,
    unpack_page,
)
from tests.common.ledger.documents import document

TEXT = st.text(max_size=20)
TASKS = st.builds(
    TaskSpec,
    position=st.integers(0, 10**6),
    command=TEXT,
    path=TEXT,
    forward=st.lists(TEXT, max_size=3).map(tuple),
    backward=st.lists(TEXT, max_size=3).map(tuple),
    outlog=st.none() | TEXT,
    errlog=st.none() | TEXT,
    name=st.none() | TEXT,
    key=TEXT,
)


@given(st.lists(TASKS, min_size=1, max_size=20))
def test_a_page_comes_back_as_it_was(tasks: list[TaskSpec]) -> None:
    assert unpack_page(pack_page(tasks)) == tasks


def test_a_name_that_is_no_text_comes_back() -> None:
    odd = os.fsdecode(b"t\xff\n'$(x)")
    task = replace(document().tasks[0], path=odd)
    assert unpack_page(pack_page([task])) == [task]
    assert marks_of(document().header, [task])


def test_a_header_comes_back_as_it_was() -> None:
    header = document(machine={"batch_type": "Shell", "tags": ["a"]}, name="Zoë").header
    assert unpack_header(pack_header(header)) == header


def test_equal_documents_give_equal_bytes() -> None:
    one, other = document(), document()
    assert pack_header(one.header) == pack_header(other.header)
    assert pack_page(one.tasks) == pack_page(other.tasks)


def test_pages_hold_a_thousand_tasks() -> None:
    assert [len(page) for page in pages_of(document(tasks=2001).tasks)] == [1000, 1000, 1]


def test_a_directory_has_one_mark_however_it_is_written() -> None:
    paths = ["a", "./a", "b/../a", "a/"]
    submission = document(source="/data", paths=paths)
    assert len(set(marks_of(submission.header, submission.tasks))) == 1
