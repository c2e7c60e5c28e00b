"""Secrets by reference: `env:NAME` or `file:PATH` stand for what is there, and nothing else may be a secret.

revealed("env:DEPOT_PASSWORD", "depot.options.password")
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from jobferry_common.errors import BadInput, Problem

_ENVIRONMENT: Final = "env:"
_FILE: Final = "file:"
#: options of file systems whose names hold one of these are secrets
_WORDS: Final = (
    "password",
    "passphrase",
    "secret",
    "token",
    "credential",
    "access_key",
    "account_key",
)
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def is_secret(option: str) -> bool:
    """Tell by its name whether the value of an option has to be kept secret."""
    return any(word in option.lower() for word in _WORDS)


def is_reference(value: str) -> bool:
    """Tell whether a value only says where something is."""
    return value.startswith((_ENVIRONMENT, _FILE))


def revealed(value: str, where: str) -> str:
    """Return what a value refers to; a value that is no reference as it is.

    Raises:
        BadInput: the variable is not set, the file cannot be read, or others may read it.
    """
    if value.startswith(_ENVIRONMENT):
        name = value.removeprefix(_ENVIRONMENT)
        if name not in os.environ:
            raise BadInput([Problem(where, f"the environment has no variable {name}")])
        return os.environ[name]
    return _read(value.removeprefix(_FILE), where) if value.startswith(_FILE) else value


def _read(name: str, where: str) -> str:
    path = Path(name).expanduser()
    try:
        mode = path.stat().st_mode
        if mode & _OTHERS:
            what = f"others may read {path} (mode {stat.S_IMODE(mode):04o}): chmod 600 {path}"
            raise BadInput([Problem(where, what)])
        return path.read_text("utf-8").rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput([Problem(where, f"{path} cannot be read: {error}")]) from None
