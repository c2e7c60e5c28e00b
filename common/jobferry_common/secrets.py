"""Secrets: where one is said to be, and fetching it from there. A reference may travel and be shown, the secret never.

    env:HPC1_PASSWORD               a variable of the environment
    file:~/.secrets/hpc1            a file that only its user can read
    keyring:hpc1/alice              the desktop's keyring

    read("file:~/.secrets/hpc1", "password")     what that file holds

A secret is fetched each time it is needed, so that a new one counts at once. A message names the reference alone.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import BadInput, Problem

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
#: how messages name the three
EXPECTED: Final = "env:NAME, file:PATH or keyring:SERVICE/USER"
#: characters of a file that are read: no password is longer, nor is a token
_LONGEST: Final = 65_536


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


def read(text: str, field: str, *, reader: str = "this process") -> str:
    """Return what a reference leads to; a text that is none is the secret itself.

    Args:
        text: the reference, or the secret.
        field: the setting that holds it, for messages.
        reader: who looks for it, for messages: a worker's are read elsewhere.

    Raises:
        BadInput: it is not where its reference says, or others can read it there.
    """
    if not is_reference(text):
        return text
    kind, _, rest = text.partition(":")
    try:
        found = {"env": _variable, "file": _file, "keyring": _keyring}[kind](rest, reader)
    except _NotThereError as error:
        raise BadInput([Problem(f"{field} ({text})", str(error))]) from None
    if not found:
        raise BadInput([Problem(f"{field} ({text})", "is empty")])
    return found


class _NotThereError(Exception):
    """A reference leads to nothing that may be used; the message says why, and the next step."""


def _variable(name: str, reader: str) -> str:
    found = os.environ.get(name)
    if found is None:
        msg = f"the environment of {reader} has no variable {name}; set it where that starts"
        raise _NotThereError(msg)
    return found


def _file(path: str, reader: str) -> str:
    file = Path(path).expanduser()
    try:
        with open(file, encoding="utf-8", opener=at_once) as stream:
            _check_private(os.fstat(stream.fileno()), file, reader)
            return stream.read(_LONGEST).removesuffix("\n").removesuffix("\r")
    except OSError as error:
        msg = f"{file} cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        msg = f"{file} is no UTF-8 text"
    raise _NotThereError(msg)


def at_once(path: str, flags: int) -> int:
    """Open a file; a pipe to which nobody writes would be waited for without an end."""
    return os.open(path, flags | os.O_NONBLOCK)


def _check_private(seen: os.stat_result, file: Path, reader: str) -> None:
    if not stat.S_ISREG(seen.st_mode):
        msg = f"{file} is no regular file; expected one that holds the secret"
        raise _NotThereError(msg)
    if seen.st_uid not in (os.geteuid(), 0):
        msg = f"{file} belongs to another user; expected a file of the user of {reader}"
        raise _NotThereError(msg)
    if seen.st_mode & 0o077:
        mode = stat.S_IMODE(seen.st_mode)
        msg = f"others can read {file} (its mode is {mode:04o}); do: chmod 600 {file}"
        raise _NotThereError(msg)


def _keyring(place: str, reader: str) -> str:
    del reader
    service, _, user = place.partition("/")
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        msg = "needs the package keyring; do: pip install 'jobferry[keyring]'"
        raise _NotThereError(msg) from None
    try:
        found: str | None = keyring.get_password(service, user)
    except KeyringError as error:
        msg = f"the keyring does not answer: {error}"
        raise _NotThereError(msg) from None
    if found is None:
        msg = f"the keyring holds no such entry; do: keyring set {service} {user}"
        raise _NotThereError(msg)
    return found
