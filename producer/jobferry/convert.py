"""An older file in today's form: names that became others, spellings that are accepted, tasks that stood in jobs.

    data, changes = converted(Path("machine_local_shell.json"))
    changes       ["batch → machine", "machine.batch_type: 'shell' → 'Shell'"]

Every older form goes on to load; this is for people who read the files.
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from jobferry_common.errors import BadInput, Problem
from jobferry_common.models import kinds, reading
from jobferry_common.models.machine import Machine
from jobferry_common.models.profiles import BohriumProfile
from jobferry_common.models.resources import Kwargs, Resources, holds_both
from jobferry_common.models.submission import Submission
from jobferry_common.models.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jobferry_common.models.base import Model

    Spell = Callable[[str], str]

_SPELLINGS: Final[Mapping[str, Spell]] = {
    "batch_type": kinds.batch_type,
    "context_type": kinds.context_type,
}


def converted(file: Path, *, allow_ref: bool = False) -> tuple[dict[str, Any], list[str]]:
    """Return what a file says in today's form, and what is different there, a line each.

    Args:
        file: the file; references in it stay as they are.
        allow_ref: read what it refers to, to check that it fits.

    Raises:
        BadInput: it is no file of ours, or wrong in itself.
    """
    data = reading.parsed(file, reading.parser_of(file))
    models = _models(data)
    if not models:
        what = "is no submission, machine, resources or task: none of their keys is in it"
        raise BadInput([Problem(file.name, what)])
    label, whole = reading.read_file(file, allow_ref=allow_ref)
    for model in models:
        model.built(whole, label)
    changes: list[str] = []
    return _Conversion(changes).any(data), changes


def _models(data: Any) -> tuple[type[Model], ...]:  # noqa: ANN401
    """Return what a file holds, told by its keys."""
    keys = set(data) if isinstance(data, dict) else set()
    if keys & {"work_base", "task_list", "belonging_jobs"}:
        return (Submission,)
    if holds_both(data):
        return (Machine, Resources) if keys & {"machine", "batch"} else (Resources,)
    if "batch_type" in keys and "context_type" in keys:
        return (Machine,)
    if "command" in keys:
        return (Task,)
    return (Resources,) if "group_size" in keys else ()


class _Conversion:
    """Rewrites plain values, and notes each change."""

    def __init__(self, changes: list[str]) -> None:
        self._changes = changes

    def any(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return a file's content in today's form."""
        found = self._renamed(data, Submission.aliases, "")
        if "belonging_jobs" in found and "task_list" not in found:
            found = Submission.rewritten(found)
            self._changes.append("belonging_jobs → task_list")
        return self._inside(found, "")

    def _inside(self, data: dict[str, Any], at: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in data.items():
            way = f"{at}{key}"
            if key in _SPELLINGS and isinstance(value, str):
                found[key] = self._spelt(value, _SPELLINGS[key], way)
            elif isinstance(value, dict) and key in ("machine", "resources"):
                found[key] = self._inside(value, f"{way}.")
            elif isinstance(value, dict) and key in ("kwargs", "remote_profile"):
                aliases = Kwargs.aliases if key == "kwargs" else BohriumProfile.aliases
                found[key] = self._renamed(value, aliases, f"{way}.")
            else:
                found[key] = value
        return found

    def _renamed(self, data: dict[str, Any], aliases: Mapping[str, str], at: str) -> dict[str, Any]:
        for old in aliases.keys() & data.keys():
            self._changes.append(f"{at}{old} → {aliases[old]}")
        return {aliases.get(key, key): value for key, value in data.items()}

    def _spelt(self, text: str, spell: Spell, way: str) -> str:
        name = spell(text)
        if name != text:
            self._changes.append(f"{way}: {text!r} → {name!r}")
        return name


def write(data: dict[str, Any], file: Path) -> Path:
    """Write plain values as the file's name asks for, whole or not at all.

    Raises:
        BadInput: it asks for TOML, or it cannot be written.
    """
    suffix = file.suffix.lower()
    if suffix == ".toml":
        what = "TOML is not written; choose a name that ends in .json or .yaml with --output"
        raise BadInput([Problem(str(file), what)])
    text = (
        yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
        if suffix in (".yaml", ".yml")
        else json.dumps(data, indent=4, ensure_ascii=False) + "\n"
    )
    try:
        _replace(file, text)
    except OSError as error:
        raise BadInput([Problem(str(file), f"cannot be written: {error.strerror}")]) from None
    return file


def _replace(file: Path, text: str) -> None:
    target = Path(os.path.realpath(file))
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        Path(name).chmod(target.stat().st_mode & 0o777 if target.exists() else 0o600)
        Path(name).replace(target)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(name).unlink()
        raise
