"""Names: every legal one works, only what leaves its directory or cannot travel is refused."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobferry_common.errors import BadInput
from jobferry_common.models.paths import able_to_travel, inside
from jobferry_common.models.task import Task

STRANGE = [
    "a b",
    "it's",
    '"',
    "$(rm -rf x)",
    "-rf",
    "[x]",
    "*",
    "ünïcode",
    "雪",
    "a:b",
    "a\tb",
    "~",
    "..a",
    "a..",
    "\\",
]

segments = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/"), min_size=1, max_size=20
).filter(lambda name: name not in (".", "..", ".jobferry"))


@pytest.mark.parametrize("name", STRANGE)
def test_strange_names_work_everywhere(name: str) -> None:
    """A defect of DPDispatcher: legal file names with `:` are refused."""
    task = Task(
        command="true",
        task_work_path=name,
        forward_files=(name,),
        backward_files=(name,),
        outlog=name,
    )
    assert inside(task.task_work_path) == name


@given(st.lists(segments, min_size=1, max_size=4))
def test_a_path_of_legal_names_stays_as_it_is(parts: list[str]) -> None:
    path = "/".join(parts)
    assert inside(path) == path


@given(st.lists(st.sampled_from(["a", "b", ".", "..", ""]), min_size=1, max_size=7))
def test_no_path_leaves_its_directory(parts: list[str]) -> None:
    text = "/".join(parts)
    try:
        path = inside(text)
    except ValueError:
        outside = posixpath.normpath(f"/top/{text}") if text[:1] != "/" else text
        assert not text or text[0] == "/" or not f"{outside}/".startswith("/top/")
    else:
        assert ".." not in path.split("/")
        assert posixpath.normpath(f"/top/{path}") == posixpath.normpath(f"/top/{text}")


@pytest.mark.parametrize("text", ["../x", "a/../../x", "..", "a/../..", "/etc/passwd", "/", ""])
def test_what_leaves_its_directory_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"leaves its directory|is absolute|is empty"):
        inside(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [("a\nb", "a line break"), ("a\0b", "a NUL"), ("a\x1bb", "a control"), ("a\udcffb", "UTF-8")],
)
def test_what_cannot_travel_is_refused_with_the_reason(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        able_to_travel(text)


def test_the_directory_of_jobferry_is_not_for_users() -> None:
    with pytest.raises(ValueError, match=r"lies in \.jobferry"):
        inside("./.jobferry/x")


def test_a_task_tells_all_of_its_faults() -> None:
    with pytest.raises(BadInput) as caught:
        Task(command="", task_work_path="../x", forward_files=("a\nb", "ok"), errlog="")
    assert [problem.where for problem in caught.value.problems] == [
        "task: command",
        "task: task_work_path",
        "task: forward_files[0]",
        "task: errlog",
    ]
