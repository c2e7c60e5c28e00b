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
from jobferry_common.models.base import Model
from jobferry_common.models.doubled import like
from jobferry_common.models.machine import Machine
from jobferry_common.models.older import of_today
from jobferry_common.models.referring import REF
from jobferry_common.models.resources import Kwargs, Resources, Strategy, holds_both
from jobferry_common.models.submission import TARGETS, UNBOUND, WRITTEN_DOWN, Submission
from jobferry_common.models.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    Spell = Callable[[str], str]

_SPELLINGS: Final[Mapping[str, Spell]] = {
    "batch_type": kinds.batch_type,
    "context_type": kinds.context_type,
}
#: models of what stands under a key
_PARTS: Final[Mapping[str, type[Model]]] = {
    "machine": Machine,
    "resources": Resources,
    "strategy": Strategy,
    "kwargs": Kwargs,
    "task_list": Task,
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
        raise BadInput([Problem(file.name, _no_file_of_ours(data))])
    changes: list[str] = []
    label, whole = reading.read_file(file, allow_ref=allow_ref)
    whole = _with_roots(whole, [])
    if Submission in models and not TARGETS & whole.keys():
        whole = like(whole, {**whole, "cluster": UNBOUND})
        changes.append("names no machine: submit it with --cluster NAME")
    for model in models:
        model.built(whole, label)
    return _Conversion(changes).any(_with_roots(data, changes)), changes


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


def _no_file_of_ours(data: Any) -> str:  # noqa: ANN401
    """Return why a file cannot be converted, and what can be done with it."""
    inner = data if isinstance(data, dict) else {}
    if any(isinstance(value, dict) and "job_task_list" in value for value in inner.values()):
        return "is a job that was written down: Job.deserialize reads it; expected a submission"
    what = "is no submission, machine, resources or task: none of their keys is in it"
    named = [key for key, value in inner.items() if _models(value)]
    if not named:
        return what
    return f"{what}; expected what stands under {', '.join(named)} in a file of its own each"


def _with_roots(data: dict[str, Any], changes: list[str]) -> dict[str, Any]:
    """Return a file's content with a local_root in its machine, which means the working directory if it is null."""
    if "batch_type" in data and "context_type" in data:
        return _with_root(data, "", changes)
    for name in ("machine", "batch"):
        machine = data.get(name)
        if isinstance(machine, dict) and REF not in machine:
            data = like(data, {**data, name: _with_root(machine, f"{name}.", changes)})
    return data


def _with_root(machine: dict[str, Any], at: str, changes: list[str]) -> dict[str, Any]:
    if "local_root" in machine:
        return machine
    changes.append(f"{at}local_root: missing → null, the working directory")
    return like(machine, {**machine, "local_root": None})


class _Conversion:
    """Rewrites plain values, and notes each change."""

    def __init__(self, changes: list[str]) -> None:
        self._changes = changes

    def any(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return a file's content in today's form."""
        found = self._renamed(data, Submission.aliases, "")
        if not {"task_list", "machine", "resources"} & found.keys():
            return self._inside(found, _models(data)[0], "")
        if found.keys() & set(WRITTEN_DOWN):
            tidy = Submission.rewritten(found)
            self._changes += [f"{name} → task_list" for name in found if name not in tidy]
            found = tidy
        return self._parts(found, "")

    def _inside(self, data: dict[str, Any], model: type[Model], at: str) -> dict[str, Any]:
        tidy, changes = of_today(self._renamed(data, model.aliases, at), model.older)
        for change in changes:
            self._note(f"{at}{change}")
        return self._parts(tidy, at)

    def _parts(self, data: dict[str, Any], at: str) -> dict[str, Any]:
        return {key: self._part(data, key, f"{at}{key}") for key in data}

    def _part(self, data: dict[str, Any], key: str, way: str) -> Any:  # noqa: ANN401
        value = data[key]
        if key in _SPELLINGS and isinstance(value, str):
            return self._spelt(value, _SPELLINGS[key], way)
        model = Machine.part(key, data) or _PARTS.get(key)
        if model is None or not issubclass(model, Model):
            return value
        if isinstance(value, dict):
            return self._inside(value, model, f"{way}.")
        if isinstance(value, list):
            return [self._item(item, model, f"{way}[].") for item in value]
        return value

    def _item(self, item: Any, model: type[Model], at: str) -> Any:  # noqa: ANN401
        return self._inside(item, model, at) if isinstance(item, dict) else item

    def _renamed(self, data: dict[str, Any], aliases: Mapping[str, str], at: str) -> dict[str, Any]:
        for old in sorted(aliases.keys() & data.keys()):
            self._note(f"{at}{old} → {aliases[old]}")
        return {aliases.get(key, key): value for key, value in data.items()}

    def _spelt(self, text: str, spell: Spell, way: str) -> str:
        name = spell(text)
        if name != text:
            self._note(f"{way}: {text!r} → {name!r}")
        return name

    def _note(self, change: str) -> None:
        if change not in self._changes:  # what is true of each task is said once
            self._changes.append(change)


def write(data: dict[str, Any], file: Path) -> Path:
    """Write plain values as the file's name asks for, whole or not at all; comments are not among them.

    Raises:
        BadInput: that format has no words for a value, such as null in TOML, or it cannot be written.
    """
    write_text = _WRITERS.get(file.suffix.lower(), _json)
    try:
        write_whole(file, write_text(data).encode())
    except BadInput as error:
        raise error.within(str(file)) from None
    except (TypeError, ValueError, yaml.YAMLError) as error:  # such as a date, in JSON
        what = f"this format has no words for a value: {error}; choose another with --output"
        raise BadInput([Problem(str(file), what)]) from None
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
