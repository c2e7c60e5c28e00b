"""Quoting: what data becomes is read back by a real bash."""

from __future__ import annotations

import re
import shlex
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobferry_common.errors import BadInput
from jobferry_common.scripts import quoting

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
SHELLISH = st.text("ab $`\"'\\(){}[]*?~!&;|<>#=\n\t-", max_size=20)


def printed(script: str) -> list[str]:
    """Return what bash prints, NUL-separated; in another locale than ours, as on many clusters."""
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
    )
    return done.stdout.decode().split("\0")[:-1]


@settings(max_examples=40, deadline=None)
@given(st.lists(TEXT | SHELLISH, min_size=1, max_size=20))
def test_bash_reads_each_word_back_as_it_was(texts: list[str]) -> None:
    assert printed(f"printf '%s\\0' {quoting.words(texts)}") == texts


@given(TEXT | SHELLISH)
def test_a_word_stays_on_one_line(text: str) -> None:
    assert not {"\n", "\r"} & set(quoting.word(text))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text("ab 'c\"(){}[]*?!&;|<>#=\n\t-", max_size=20), min_size=1, max_size=9))
def test_a_value_without_anything_to_expand_keeps_all_but_its_own_quotes(texts: list[str]) -> None:
    seen = printed(
        "".join(f"export V={quoting.expanding(text)}\nprintf '%s\\0' \"$V\"\n" for text in texts)
    )
    for text, value in zip(texts, seen, strict=True):
        assert value in {text, text.replace('"', "").replace("'", ""), *_unquoted(text)}


def _unquoted(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return []


@settings(max_examples=60, deadline=None)
@given(SHELLISH.map(lambda text: re.sub(r"`|\$(?=[\[({])", "", text)))
def test_a_value_never_becomes_a_command_or_a_second_word(text: str) -> None:
    script = f"one() {{ printf '%s\\0' \"$#\"; }}; V={quoting.expanding(text)} one"
    assert printed(f"{script} x") == ["1"]


def test_plain_words_stay_readable() -> None:
    assert quoting.words(["/a/b-c.d", "x@y:1%2+3", "a b", ""]) == "/a/b-c.d x@y:1%2+3 'a b' ''"


def test_a_nul_is_refused() -> None:
    with pytest.raises(BadInput, match="NUL"):
        quoting.word("a\0b")


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A B", "A=1", "Ä", "A\n"])
def test_what_is_no_name_of_a_variable_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match=r"resources\.envs.*no name of a variable"):
        quoting.variable(name, "resources.envs")
