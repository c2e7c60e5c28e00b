"""Where a secret is: a reference may travel and be shown, the secret itself never.

env:HPC1_PASSWORD               a variable of the worker's environment
file:~/.secrets/hpc1            a file that only the worker's user can read
keyring:hpc1/alice              the keyring of the worker's desktop

>>> is_reference("env:HPC1_PASSWORD"), is_reference("hunter2")
(True, False)
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

#: how a reference begins → what has to follow, and how that is called
KINDS: Final[Mapping[str, tuple[re.Pattern[str], str]]] = MappingProxyType(
    {
        "env": (re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z", re.ASCII), "the name of a variable"),
        "file": (re.compile(r"[/~][^\0\n]*\Z"), "a path that begins with / or ~"),
        "keyring": (re.compile(r"[^/\0\n]+/[^\0\n]+\Z"), "SERVICE/USER"),
    }
)


def is_reference(text: str) -> bool:
    """Tell whether a text says where a secret is."""
    return text.partition(":")[0] in KINDS and ":" in text


def check(text: str) -> None:
    """Raise `ValueError`, without the text, if a reference cannot be followed."""
    kind, _, rest = text.partition(":")
    if not is_reference(text) or KINDS[kind][0].match(rest):
        return
    msg = (
        f"begins with '{kind}:', and {KINDS[kind][1]} has to follow; "
        "a secret that begins so itself has to be put into a file: file:PATH"
    )
    raise ValueError(msg)
