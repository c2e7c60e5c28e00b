"""JSON Schemas of the files that users write, so that editors complete and check them.

    schema_of("submission")["properties"]["work_base"]["type"]      'string'

What a schema cannot say is left to loading. docs/schema/ holds them all.
"""

from __future__ import annotations

import difflib
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from pydantic.json_schema import GenerateJsonSchema

from jobferry_common.errors import BadInput, Problem
from jobferry_common.models.allowing import allow, contexts
from jobferry_common.models.base import Model
from jobferry_common.models.cluster import ClusterProfile
from jobferry_common.models.described import descriptions
from jobferry_common.models.machine import Machine, WithResources
from jobferry_common.models.profiles import PROFILES
from jobferry_common.models.resources import MachineBeside, Resources
from jobferry_common.models.script import Script
from jobferry_common.models.submission import Submission
from jobferry_common.models.task import Task

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

KINDS: Final[Mapping[str, type[Model]]] = MappingProxyType(
    {
        "submission": Submission,
        "machine": Machine,
        "resources": Resources,
        "task": Task,
        "script": Script,
        "cluster": ClusterProfile,
    }
)

_DIALECT: Final = GenerateJsonSchema.schema_dialect
#: → a file of the older form, which holds resources and the machine beside them
_BESIDE: Final[Mapping[type[Model], type[Model]]] = {
    Machine: WithResources,
    Resources: MachineBeside,
}


def schema_of(kind: str) -> dict[str, Any]:
    """Return the schema of one kind of file.

    Raises:
        BadInput: there is no such kind.
    """
    if kind not in KINDS:
        near = difflib.get_close_matches(kind, KINDS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        what = f"there is no kind of file {kind!r}; {hint}expected one of {', '.join(KINDS)}"
        raise BadInput([Problem("schema", what)])
    model = KINDS[kind]
    definitions = _open(model)
    return {"$schema": _DIALECT, **_of_file(model, definitions), "$defs": definitions}


def schemas() -> dict[str, dict[str, Any]]:
    """Return the schema of each kind of file."""
    return {kind: schema_of(kind) for kind in KINDS}


def _of_file(model: type[Model], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a file: one of a machine, or of resources, may be of the older form that holds both."""
    if model not in _BESIDE:
        found: dict[str, Any] = definitions.pop(model.__name__)
        return found
    return {
        "title": model.__name__,
        "type": "object",
        "if": {"required": ["resources"], "properties": {"resources": {"type": "object"}}},
        "then": {"$ref": f"#/$defs/{_BESIDE[model].__name__}"},
        "else": {"$ref": f"#/$defs/{model.__name__}"},
    }


def _open(model: type[Model]) -> dict[str, Any]:
    """Return the definitions of a model and all that stands in it, as loading takes them."""
    roots = [model, *([_BESIDE[model]] if model in _BESIDE else [])]
    definitions = _definitions(roots)
    if any("remote_profile" in one.get("properties", {}) for one in definitions.values()):
        # a profile depends on the context, so that pydantic does not know which there are
        definitions |= {**_definitions(sorted(set(PROFILES.values()), key=_name)), **contexts()}
    models = {one.__name__: one for one in _every(Model)}
    for name in definitions.keys() & models.keys():
        _describe(definitions[name], models[name])
        allow(definitions[name], models[name])
    return definitions


def _definitions(models: Sequence[type[Model]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for model in models:
        schema = model.model_json_schema()
        found |= schema.pop("$defs", {})
        found[model.__name__] = schema
    return found


def _name(model: type[Model]) -> str:
    return model.__name__


def _every(model: type[Model]) -> Iterator[type[Model]]:
    yield model
    for kind in model.__subclasses__():
        yield from _every(kind)


def _describe(schema: dict[str, Any], model: type[Model]) -> None:
    properties = schema.get("properties", {})
    for name, said in descriptions(model).items():
        properties[name].setdefault("description", said)
