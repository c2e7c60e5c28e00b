r"""Quoting for bash: the only place that turns data into shell words.

>>> word("a b"), word("it's"), word("two\nlines")
("'a b'", "'it'\\''s'", "$'two\\nlines'")
>>> expanding("/opt/my bin:$PATH")
'"/opt/my bin:$PATH"'
    >>> expanding("'/opt/my bin':$PATH")
    "'/opt/my bin':$PATH"
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import BadInput, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:@%+,-]+\Z", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z", re.ASCII)
_ESCAPES: Final = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_CLOSING: Final = {"$(": ")", "${": "}", "$[": "]", "`": "`"}
#: they end a word, or like `{a,b}` make several of it
_SEPARATORS: Final = frozenset(" \t\n\r;&|()<>{}")


def word(text: str) -> str:
    """Return one bash word, on one line, that stands for exactly this text.

    Raises:
        BadInput: the text holds a NUL, which no word can.
    """
    if "\0" in text:
        raise BadInput([Problem(repr(text), "a NUL character cannot be passed to a shell")])
    if _PLAIN.match(text):
        return text
    if not _CONTROL.search(text):
        return "'" + text.replace("'", "'\\''") + "'"
    return "$'" + "".join(_ansi(char) for char in text) + "'"


def words(texts: Iterable[str]) -> str:
    """Return several words."""
    return " ".join(word(text) for text in texts)


def variable(name: str, where: str) -> str:
    """Return a variable's name after checking it.

    Raises:
        BadInput: it is no name that bash can export.
    """
    if _NAME.match(name):
        return name
    what = f"{name!r} is no name of a variable: letters, digits and '_', no digit first"
    raise BadInput([Problem(where, what)])


def expanding(text: str) -> str:
    r"""Return the value of an assignment that expands `$NAME`, `${…}`, `$(…)` and backticks and keeps all else.

    A text that is one word of bash already, quotes of its own included, stays as it is: that is how DPDispatcher's
    plain `export NAME=text` takes it. Any other text would have broken there; it is put between double quotes.
    """
    if text and _is_one_word(text):
        return text
    return '"' + "".join(_inside_quotes(text)) + '"'


def _is_one_word(text: str) -> bool:
    at = 0
    while at < len(text):
        end = _unit(text, at)
        if end is None:
            return False
        at = end
    return True


def _unit(text: str, at: int) -> int | None:
    """Return where the character, quotation or expansion at a place ends; None where the word is not sound."""
    char = text[at]
    if char in _SEPARATORS:
        return None
    if char == "\\":
        return at + 2 if at + 1 < len(text) else None
    if char == "'":
        closing = text.find("'", at + 1)
        return closing + 1 if closing > 0 else None
    if char == '"':
        return _end_of_quotation(text, at + 1)
    opening = next((mark for mark in _CLOSING if text.startswith(mark, at)), None)
    return at + 1 if opening is None else _end_of(text, at + len(opening), opening)


def _end_of_quotation(text: str, at: int) -> int | None:
    while at < len(text):
        if text[at] == '"':
            return at + 1
        opening = next((mark for mark in _CLOSING if text.startswith(mark, at)), None)
        if opening is not None:
            end = _end_of(text, at + len(opening), opening)
            if end is None:
                return None
            at = end
        else:
            at += 2 if text[at] == "\\" else 1
    return None


def _inside_quotes(text: str) -> Iterable[str]:
    at = 0
    while at < len(text):
        step = _piece(text, at)
        yield step[1]
        at += step[0]


def _piece(text: str, at: int) -> tuple[int, str]:
    """Return how many characters to read at a place, and what they become within double quotes."""
    char = text[at]
    if char == "\\":
        following = text[at + 1 : at + 2]
        return (2, char + following) if following else (1, "\\\\")
    if char == '"':
        return 1, '\\"'
    opening = next((mark for mark in _CLOSING if text.startswith(mark, at)), None)
    if opening is None:
        return 1, char
    end = _end_of(text, at + len(opening), opening)
    return (1, "\\" + char) if end is None else (end - at, text[at:end])


def _end_of(text: str, at: int, opening: str) -> int | None:
    """Return the place after the mark that closes what was opened, or None if nothing does."""
    closing, depth = _CLOSING[opening], 1
    while at < len(text):
        if text[at] == closing:
            depth -= 1
        elif text[at] == opening[-1]:
            depth += 1
        at += 1
        if not depth:
            return at
    return None


def _ansi(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    return f"\\{ord(char):03o}" if _CONTROL.match(char) else char
