"""`{"$ref": "other.json"}` in a file: replaced by the file that it names, where that is allowed.

    {"machine": {"$ref": "machine.json", "retry_count": 1}}       keys beside it win

What a stranger wrote may be confined: to files below one directory, of a size that is fair for a description.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jobferry_common.errors import Problem
from jobferry_common.models.doubled import like

if TYPE_CHECKING:
    from collections.abc import Callable

    Read = Callable[[Path], Any]

REF: Final = "$ref"
#: a few files that refer to each other twice each stand for millions
_MAX_REFERENCES: Final = 1000
#: of a file that a confined one refers to
_MAX_BYTES: Final = 1 << 20


class Resolver:
    """Replaces the references of one file, and notes all that is wrong with them."""

    def __init__(
        self, where: str, read: Read, *, allow_ref: bool, within: Path | None = None
    ) -> None:
        """Take how messages call the file, and the directory that no reference may leave, if there is one."""
        self._where = where
        self._read = read
        self._allow_ref = allow_ref
        self._within = within
        self._followed = 0
        self.problems: list[Problem] = []

    def value(self, data: Any, directory: Path, way: tuple[str, ...]) -> Any:  # noqa: ANN401
        """Return plain values without references; `way` are the files that led to them."""
        if isinstance(data, dict):
            if REF in data:
                return self._referred(data, directory, way)
            inner = {key: self.value(item, directory, way) for key, item in data.items()}
            return like(data, inner)
        if isinstance(data, list):
            return [self.value(item, directory, way) for item in data]
        return data

    def _referred(self, data: dict[str, Any], directory: Path, way: tuple[str, ...]) -> Any:  # noqa: ANN401
        beside = like(data, {key: value for key, value in data.items() if key != REF})
        name = data[REF]
        self._followed += 1
        file = _file(directory, name) if isinstance(name, str) else None
        fault = self._fault(name, file, way)
        if fault is not None or file is None:
            self.problems.append(Problem(f"{self._where}: {REF}", fault or ""))
            return beside
        content = self.value(self._read(file), file.parent, (*way, real_path(file)))
        if not isinstance(content, dict):
            return content
        return like(data, like(content, content | self.value(beside, directory, way)))

    def _fault(self, name: Any, file: Path | None, way: tuple[str, ...]) -> str | None:  # noqa: ANN401
        if not self._allow_ref:
            return (
                f"refers to {name!r}; allow it with --allow-ref (allow_ref=True), or write it out"
            )
        if file is None:
            return f"{name!r} is no file name"
        real = real_path(file)
        if real in way:
            return f"{name!r} leads in a circle: {' → '.join((*way[-3:], real))}"
        if self._followed > _MAX_REFERENCES:
            return f"{name!r} is one of more than {_MAX_REFERENCES:,} references"
        return None if self._within is None else _confined(name, real, self._within)


def real_path(file: Path) -> str:
    """Return a path without links; one that no file can have stays as it is, and reading it says why."""
    try:
        return os.path.realpath(file)
    except ValueError:
        return str(file)


def _file(directory: Path, name: str) -> Path:
    """Return the file that a reference means: beside the one that holds it, else in the working directory."""
    file = directory / os.path.expanduser(name)  # noqa: PTH111 - that of Path raises
    return file if os.path.exists(file) else Path(name)  # noqa: PTH110 - that of Path raises for some names


def _confined(name: str, real: str, within: Path) -> str | None:
    """Return what is wrong with a file that a confined one refers to."""
    home = os.path.realpath(within)
    if not Path(real).is_relative_to(home):
        return f"{name!r} lies outside {home}; expected a file below it"
    try:
        status = os.stat(real)  # noqa: PTH116
    except (OSError, ValueError):
        return None  # reading it says why
    if not stat.S_ISREG(status.st_mode):
        return f"{name!r} is no regular file"
    if status.st_size > _MAX_BYTES:
        return f"{name!r} has {status.st_size:,} bytes; expected at most {_MAX_BYTES:,}"
    return None
