"""JSON Schemas of the files that users write, so that editors complete and check them.

    schema_of("submission")["required"]      ['work_base', 'resources', 'task_list']

What a schema cannot say is left to loading; of older forms it knows other names of keys. docs/schema/ holds them all.
"""

from __future__ import annotations

import difflib
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from pydantic.json_schema import GenerateJsonSchema

from jobferry_common.errors import BadInput, Problem
from jobferry_common.models import kinds
from jobferry_common.models.base import Model
from jobferry_common.models.cluster import ClusterProfile
from jobferry_common.models.described import descriptions
from jobferry_common.models.machine import Machine
from jobferry_common.models.profiles import PROFILES
from jobferry_common.models.resources import Kwargs, Resources
from jobferry_common.models.script import Script
from jobferry_common.models.submission import Submission
from jobferry_common.models.task import Task

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
#: models whose keys have other names, too
_WITH_ALIASES: Final[tuple[type[Model], ...]] = (Submission, Script, Kwargs, *PROFILES.values())
_NAMES: Final = {"batch_type": kinds.BATCH_TYPES, "context_type": kinds.CONTEXTS}


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
    plain = KINDS[kind].model_json_schema()
    return {"$schema": _DIALECT, **_open(plain)}


def schemas() -> dict[str, dict[str, Any]]:
    """Return the schema of each kind of file."""
    return {kind: schema_of(kind) for kind in KINDS}


def _open(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that allows what loading does: comments, other names, other spellings."""
    definitions = schema.pop("$defs", {})
    objects = (schema, *definitions.values())
    reached = any("remote_profile" in one.get("properties", {}) for one in objects)
    # a profile depends on the context, so that pydantic does not know which there are
    for model in sorted(set(PROFILES.values()), key=lambda one: one.__name__) if reached else ():
        definitions.setdefault(model.__name__, model.model_json_schema())
    named = {schema["title"]: schema, **definitions}
    aliases = {model.__name__: model.aliases for model in _WITH_ALIASES}
    models = {model.__name__: model for model in _every(Model)}
    for name, one in named.items():
        _describe(one, models[name])
        _allow(one, aliases.get(name, {}))
    return {**schema, "$defs": definitions}


def _every(model: type[Model]) -> Iterator[type[Model]]:
    yield model
    for kind in model.__subclasses__():
        yield from _every(kind)


def _describe(schema: dict[str, Any], model: type[Model]) -> None:
    properties = schema.get("properties", {})
    for name, said in descriptions(model).items():
        properties[name].setdefault("description", said)


def _allow(schema: dict[str, Any], aliases: Mapping[str, str]) -> None:
    properties = schema.setdefault("properties", {})
    for name, names in _NAMES.items():
        if name in properties:
            properties[name] = _any_spelling(properties[name], names)
    if "remote_profile" in properties:
        profiles = sorted({model.__name__ for model in PROFILES.values()})
        references = [{"$ref": f"#/$defs/{name}"} for name in profiles]
        said = properties["remote_profile"]["description"]
        properties["remote_profile"] = {"anyOf": references, "description": said}
    for old, name in aliases.items():
        if name in properties:
            properties[old] = properties[name]
            schema["required"] = [one for one in schema.get("required", ()) if one != name]
    if schema.get("additionalProperties") is False:
        schema["patternProperties"] = {"^(_|\\$(ref|schema)$)": {}}


def _any_spelling(schema: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    rest = {key: value for key, value in schema.items() if key not in ("type", "anyOf")}
    return {**rest, "anyOf": [{"enum": list(names)}, {"type": ["string", "null"]}]}
