"""Paths and patterns that users write: relative, inside their directory, and able to travel.

>>> inside("dir1/./a b")
'dir1/a b'
>>> inside("../x")
Traceback (most recent call last):
ValueError: '../x' leaves its directory; expected a path below it
"""

from __future__ import annotations

import posixpath
import re
from typing import Final

from jobferry_common.scripts.layout import HIDDEN

#: a tab is harmless; the rest would break lists of names, logs and terminals
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
#: what `normpath` may have to change, `..`, and jobferry's own directory
_UNTIDY: Final = re.compile(r"(^|/)\.|//|/\Z")


def inside(text: str) -> str:
    """Return a relative path in its normal form, without `..`; "." is the directory itself.

    Raises:
        ValueError: it is empty or absolute, leaves its directory, or cannot travel.
    """
    able_to_travel(text)
    if not text:
        msg = "is empty; expected a path below its directory, or '.'"
        raise ValueError(msg)
    if text[0] == "/":
        msg = f"{text!r} is absolute; expected a path relative to its directory"
        raise ValueError(msg)
    return _tidied(text) if _UNTIDY.search(text) else text


def able_to_travel(text: str) -> None:
    """Refuse a name that no list, log or JSON text can carry.

    Raises:
        ValueError: it holds a control character, or is no Unicode text.
    """
    if found := _CONTROL.search(text):
        named = {"\n": "a line break", "\0": "a NUL character"}.get(found[0], "a control character")
        msg = f"{text!r} holds {named}; rename the file, such names cannot be carried over"
        raise ValueError(msg)
    if not text.isascii():
        _encoded(text)


def _encoded(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        msg = f"{text!r} is no valid UTF-8; rename the file, such names cannot be carried over"
        raise ValueError(msg) from None


def _tidied(text: str) -> str:
    path = posixpath.normpath(text)
    first = path.partition("/")[0]
    if first == "..":
        msg = f"{text!r} leaves its directory; expected a path below it"
        raise ValueError(msg)
    if first == HIDDEN:
        msg = f"{text!r} lies in {HIDDEN}, which jobferry keeps for itself; choose another name"
        raise ValueError(msg)
    return path
