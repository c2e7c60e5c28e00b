"""Secrets, fetched where a reference says they are: each time they are needed, so that a new one counts at once.

    read(SecretStr("file:~/.secrets/hpc1"), "password")     what that file holds

A message names the reference and never the secret.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import LoginRefused
from jobferry_common.models.references import is_reference

if TYPE_CHECKING:
    from pydantic import SecretStr

#: characters of a file that are read: nobody's password is longer
_LONGEST: Final = 4096


def read(secret: SecretStr, field: str) -> str:
    """Return a secret.

    Raises:
        LoginRefused: it is not where its reference says, or others can read it there.
    """
    text = secret.get_secret_value()
    if not is_reference(text):
        return text
    kind, _, rest = text.partition(":")
    found = {"env": _variable, "file": _file, "keyring": _keyring}[kind](rest, f"{field} ({text})")
    if not found:
        msg = f"{field} ({text}) is empty"
        raise LoginRefused(msg)
    return found


def _variable(name: str, what: str) -> str:
    found = os.environ.get(name)
    if found is None:
        msg = f"{what}: the worker's environment has no variable {name}; set it where the worker starts"
        raise LoginRefused(msg)
    return found


def _file(path: str, what: str) -> str:
    file = Path(path).expanduser()
    try:
        with file.open(encoding="utf-8") as stream:
            _check_private(os.fstat(stream.fileno()), file, what)
            return stream.read(_LONGEST).removesuffix("\n").removesuffix("\r")
    except OSError as error:
        msg = f"{what}: {file} cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        msg = f"{what}: {file} is no UTF-8 text"
    raise LoginRefused(msg)


def _check_private(seen: os.stat_result, file: Path, what: str) -> None:
    if seen.st_uid not in (os.geteuid(), 0):
        msg = f"{what}: {file} belongs to another user; expected a file of the worker's own user"
        raise LoginRefused(msg)
    if seen.st_mode & 0o077:
        mode = stat.S_IMODE(seen.st_mode)
        msg = f"{what}: others can read {file} (its mode is {mode:04o}); do: chmod 600 {file}"
        raise LoginRefused(msg)


def _keyring(place: str, what: str) -> str:
    service, _, user = place.partition("/")
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        msg = f"{what} needs the package keyring: pip install 'jobferry[keyring]'"
        raise LoginRefused(msg) from None
    try:
        found: str | None = keyring.get_password(service, user)
    except KeyringError as error:
        msg = f"{what}: the keyring does not answer: {error}"
        raise LoginRefused(msg) from None
    if found is None:
        msg = f"{what}: the keyring holds no such entry; do: keyring set {service} {user}"
        raise LoginRefused(msg)
    return found
