"""An older file in today's form: names that became others, spellings that are accepted, tasks that stood in jobs.

    data, changes = converted(Path("machine_local_shell.json"))
    changes       ["batch → machine", "machine.batch_type: 'shell' → 'Shell'"]

Every older form goes on to load; this is for people who read the files.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import tomli_w
import yaml

from jobferry.writing import write_whole
from jobferry_common.errors import BadInput, Problem
from jobferry_common.models import kinds, reading
from jobferry_common.models.machine import Machine
from jobferry_common.models.profiles import BohriumProfile
from jobferry_common.models.resources import Kwargs, Resources, holds_both
from jobferry_common.models.submission import WRITTEN_DOWN, Submission
from jobferry_common.models.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

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
    if keys & {"work_base", "task_list", *WRITTEN_DOWN}:
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
        if "task_list" not in found:
            tidy = Submission.rewritten(found)
            self._changes += [f"{name} → task_list" for name in found if name not in tidy]
            found = tidy
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
    """Write plain values as the file's name asks for, whole or not at all; comments are not among them.

    Raises:
        BadInput: it asks for TOML, which has no null, or it cannot be written.
    """
    write_text = _WRITERS.get(file.suffix.lower(), _json)
    try:
        write_whole(file, write_text(data).encode())
    except BadInput as error:
        raise error.within(str(file)) from None
    except OSError as error:
        raise BadInput([Problem(str(file), f"cannot be written: {error.strerror}")]) from None
    return file


def _json(data: dict[str, Any]) -> str:
    return json.dumps(data, indent=4, ensure_ascii=False) + "\n"


def _yaml(data: dict[str, Any]) -> str:
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def _toml(data: dict[str, Any]) -> str:
    empty = ".".join(next(_nulls(data, ()), ()))
    if empty:
        what = "is null, which TOML cannot say; leave it out, or choose a name in .json or .yaml with --output"
        raise BadInput([Problem(empty, what)])
    return tomli_w.dumps(data)


def _nulls(data: Any, above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:  # noqa: ANN401
    inner = data.items() if isinstance(data, dict) else ()
    for step, value in enumerate(data) if isinstance(data, list) else inner:
        if value is None:
            yield (*above, str(step))
        yield from _nulls(value, (*above, str(step)))


_WRITERS: Final[Mapping[str, Callable[[dict[str, Any]], str]]] = {
    ".toml": _toml,
    ".yaml": _yaml,
    ".yml": _yaml,
}
