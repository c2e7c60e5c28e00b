"""A schema takes what loading takes, and nothing else: over every form of file and thousands of changes."""

from __future__ import annotations

import json
import tomllib
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from jobferry_common.errors import BadInput
from jobferry_common.models.cluster import ClusterProfile
from jobferry_common.models.machine import Machine
from jobferry_common.models.schemas import KINDS, schema_of
from jobferry_common.models.script import Script
from jobferry_common.models.submission import Submission
from tests.seeds.forms import FORMS, LACKING, REFUSED
from tests.testbed.json_schema import fits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobferry_common.models.base import Model

    Way = tuple[str | int, ...]

_EXAMPLES: Final = Path(__file__).parents[3] / "examples"
_SCHEMAS: Final = {model: schema_of(kind) for kind, model in KINDS.items()}
_SCRIPT: Final[dict[str, Any]] = {
    "work_base": "./",
    "forward_common_files": [],
    "machine": {"batch_type": "Shell", "local_root": "./", "context_type": "LazyLocalContext"},
    "resources": {"group_size": 0},
    "task_list": [{"command": "uv run", "task_work_path": "./", "backward_files": ["log"]}],
}
_SHARED: Final[dict[str, Any]] = {
    "work_base": "./",
    "cluster": ["hpc1", "hpc2"],
    "placement": {"hpc1": 3},
    "resources": {"group_size": 1, "envs": {"A": [1, "b"]}},
    "task_list": [{"command": "true", "task_work_path": "./"}],
}


_VALUES: Final[tuple[Any, ...]] = (None, True, -1, "x", "", [], {"a": 1})


def _files() -> Iterator[tuple[str, type[Model], dict[str, Any]]]:
    for name, form in {**FORMS, **LACKING, **REFUSED}.items():
        kinds: tuple[type[Model], ...] = form.kinds or (Machine, Submission)
        for kind in kinds:
            yield name, kind, form.plain
    yield "script.py", Script, _SCRIPT
    yield "shared.json", Submission, _SHARED
    yield "examples", Submission, json.loads((_EXAMPLES / "submission.json").read_text())
    for name, plain in tomllib.loads((_EXAMPLES / "slurm.toml").read_text())["clusters"].items():
        yield name, ClusterProfile, plain


def ways(value: Any, above: Way = ()) -> Iterator[Way]:
    """Find every place in plain values."""
    steps = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for step in steps:
        yield (*above, step)
        yield from ways(value[step], (*above, step))


def changed(plain: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the file as it is, without each of its keys, with other values, and with keys more."""
    yield "as it is", plain
    for way in [(), *ways(plain)]:
        for key in ("_comment", "unknown"):
            yield from _with(plain, (*way, key), 1)
    for way in ways(plain):
        if isinstance(way[-1], str):
            other = deepcopy(plain)
            del at(other, way[:-1])[way[-1]]
            yield f"without {way}", other
        for value in _VALUES:
            yield from _with(plain, way, value)


def _with(plain: dict[str, Any], way: Way, value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    other = deepcopy(plain)
    holder = at(other, way[:-1])
    if isinstance(holder, dict) or isinstance(way[-1], int):
        holder[way[-1]] = value
        yield f"{way} = {value!r}", other


def at(value: Any, way: Way) -> Any:
    for step in way:
        value = value[step]
    return value


def loads(model: type[Model], plain: dict[str, Any]) -> bool:
    try:
        model.load_from_dict(deepcopy(plain))
    except BadInput:
        return False
    return True


def left_to_loading(model: type[Model], plain: dict[str, Any]) -> bool:
    """Tell whether a schema cannot say it: what was written down holds no task, or a weight is of another cluster."""
    written_down = {"belonging_jobs", "belonging_tasks"} & plain.keys()
    weights = isinstance(plain.get("placement"), dict)
    return issubclass(model, Submission) and (bool(written_down) or weights)


@pytest.mark.parametrize(("name", "model", "plain"), list(_files()))
def test_a_schema_takes_what_loading_takes(
    name: str, model: type[Model], plain: dict[str, Any]
) -> None:
    assert name
    for what, other in changed(plain):
        loaded, fitting = loads(model, other), fits(_SCHEMAS[model], other)
        if fitting and not loaded and left_to_loading(model, other):
            continue
        assert fitting == loaded, what


def test_a_reference_stands_for_an_object() -> None:
    for model in (Submission, Script):
        plain = {**deepcopy(_SCRIPT), "machine": {"$ref": "machine.json", "retry_count": 1}}
        assert fits(_SCHEMAS[model], plain)
        assert not fits(_SCHEMAS[model], {**plain, "machine": {"retry_count": 1}})
