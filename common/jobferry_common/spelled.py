"""Secrets that are spelled out in a command: whoever may read the command has them.

    spelled("sshpass -p hunter2 ssh -W %h:%p gate")     "sshpass -p"
    spelled("sshpass -e ssh -W %h:%p gate")             "": it stands in the environment of whom runs it
    spelled("nc --proxy-auth $GATE_AUTH %h %p")         "": so does this

What programs call a secret is known by its name alone: this finds what was written down without a thought, not what
somebody hides. The secret itself is never part of an answer.
"""

from __future__ import annotations

import re
import shlex
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_WORD: Final = r"pass(?:word|wd|phrase)?|pw|secret|token|api[-_]?key|access[-_]?key|credentials?"
#: an option or a variable with such a name, and what is behind its equals sign, if there is one
_NAMED: Final = re.compile(
    rf"(?P<name>-{{0,2}}(?:\w+[-_])*(?:{_WORD})|-{{0,2}}(?:\w*[-_])?proxy[-_]?auth|sshpass)(?:=(?P<value>.*))?\Z",
    re.IGNORECASE | re.DOTALL,
)
#: user:password@host, with or without a scheme; not the hosts of a way: "gate:22,alice@login"
_IN_ADDRESS: Final = re.compile(r"(?:\A|//|[=,])[^\s:/@,=]+:(?P<value>[^\s/@,]+)@")
#: options of single programs, whose names say nothing
_OWN: Final = (
    re.compile(r"\b(?P<name>sshpass(?:\s+-(?:[ev]+|[dfP]\s*\S+))*\s+-[ev]*p)\s*(?P<value>\S+)"),
    re.compile(r"\b(?P<name>curl)\b.*\s(?:-[uU]|--user|--proxy-user)[\s=]*(?P<value>\S+)"),
    re.compile(r"\b(?P<name>proxytunnel)\b.*\s-[PR]\s*(?P<value>\S+)"),
)
#: what a shell replaces, or ssh does: no secret, but where it is
_ELSEWHERE: Final = re.compile(r"[$`%]")
_BOUNDARY: Final = re.compile(r"[;&|(){}\n]+")


def spelled(command: str) -> str:
    """Return what holds a secret in a command, without the secret; "" if nothing is seen to."""
    return next((name for part in _parts(command) for name in _found(part)), "")


def _parts(command: str) -> Iterator[list[str]]:
    """Return the words of a command, and of the commands that stand quoted in it."""
    try:
        words = shlex.split(command)
    except ValueError:  # a quote that nothing closes
        words = command.split()
    yield words
    for word in words:
        if len(inner := _BOUNDARY.sub(" ", word).split()) > 1:
            yield inner


def _found(words: Sequence[str]) -> Iterator[str]:
    own = (pattern.search(" ".join(words)) for pattern in _OWN)
    yield from (found["name"] for found in own if found and _is_literal(found["value"]))
    for word, following in zip_longest(words, words[1:], fillvalue=""):
        for part in word.split(","):  # as socat has them: PROXY:gate:%h:%p,proxyauth=…
            named = _NAMED.match(part)
            if named and _is_literal(_value(named, following)):
                yield named["name"]
        address = _IN_ADDRESS.search(word)
        if address and _is_literal(address["value"]):
            yield "a password before @"


def _value(named: re.Match[str], following: str) -> str:
    """Return what stands for a name: behind its equals sign, or as the next word, behind an option alone."""
    if named["value"] is not None:
        return named["value"]
    return following if named["name"].startswith("-") else ""


def _is_literal(value: str) -> bool:
    return bool(value) and not value.startswith("-") and not _ELSEWHERE.match(value)
