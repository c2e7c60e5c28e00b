"""What loading allows and demands beyond the fields of a model, in the words of JSON Schema.

    allow(schema, Machine)      comments, other names, older forms; what the context needs

What stays with loading: see docs/compatibility.md.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from jobferry_common.models import kinds
from jobferry_common.models.machine import Machine
from jobferry_common.models.profiles import PROFILES, SshProfile
from jobferry_common.models.resources import Kwargs, Resources, Strategy
from jobferry_common.models.submission import WRITTEN_DOWN, Submission
from jobferry_common.models.target import NEED_REMOTE_ROOT, Target

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jobferry_common.models.base import Model

    Schema = dict[str, Any]

_COMMENTS: Final = "^(_|\\$(ref|schema)$)"
_WITH_REFERENCE: Final[Schema] = {"required": ["$ref"]}
_SOME: Final[Schema] = {"type": "string", "minLength": 1}
_SCALAR: Final[Schema] = {"type": ["string", "number", "boolean"]}
#: exported variables: one value, or a list of them
_ENVIRONMENT: Final[Schema] = {
    "type": "object",
    "patternProperties": {
        "^[A-Za-z_][A-Za-z0-9_]*$": {"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR}]}
    },
    "additionalProperties": False,
}
#: one cluster, several, or none
_CLUSTER: Final[Schema] = {
    "anyOf": [
        {"type": "string"},
        {"type": "array", "items": _SOME, "minItems": 1},
        {"type": "null"},
    ]
}
_PLACEMENT: Final[Schema] = {
    "anyOf": [
        {"enum": ["fair", "order"]},
        {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {"type": "number", "exclusiveMinimum": 0, "maximum": 1000},
        },
    ]
}
#: what the schema of a number says of it
_NUMBER: Final = ("type", "minimum", "maximum", "anyOf")
#: a field → the model of what stands in it, where older files say it beside
_OWNERS: Final[dict[str, type[Model]]] = {
    "kwargs": Kwargs,
    "strategy": Strategy,
    "remote_profile": SshProfile,
}
#: fields whose own types say nothing of them
_WRITTEN: Final = {"envs": _ENVIRONMENT, "cluster": _CLUSTER, "placement": _PLACEMENT}


def allow(schema: Schema, model: type[Model]) -> None:
    """Make the schema of a model one of what loading takes."""
    properties: Schema = schema.setdefault("properties", {})
    for name in sorted(_WRITTEN.keys() & properties.keys()):
        kept = {
            key: properties[name][key]
            for key in ("description", "default")
            if key in properties[name]
        }
        properties[name] = {**_WRITTEN[name], **kept}
    if issubclass(model, Resources):
        properties["kwargs"] = {
            "type": "object",
            "description": properties["kwargs"]["description"],
        }
    if "task_list" in properties:
        properties |= _listed(properties["task_list"])
    _name_kinds(properties)
    _allow_older(properties, model)
    for old, name in model.aliases.items():
        if name in properties:
            properties[old] = properties[name]
    demands = list(_demands(schema.pop("required", ()), model))
    if demands:
        schema |= {"if": {"not": _WITH_REFERENCE}, "then": {"allOf": demands}}
    if schema.get("additionalProperties") is False:
        schema["patternProperties"] = {_COMMENTS: {}}


def _listed(tasks: Schema) -> Schema:
    """Return the properties under which a submission holds its tasks: as a list, or as it was written down."""
    job = {
        "type": "object",
        "required": ["job_task_list"],
        "properties": {"job_task_list": {"type": "array", "items": tasks["items"]}},
    }
    jobs = {"type": "array", "items": {"type": "object", "additionalProperties": job}}
    said = "as DPDispatcher writes a submission down"
    return {
        "task_list": {**tasks, "minItems": 1},
        "belonging_tasks": {"type": "array", "items": tasks["items"], "description": said},
        "belonging_jobs": {**jobs, "description": said},
    }


def _name_kinds(properties: Schema) -> None:
    patterns = {
        "batch_type": (kinds.BATCH_TYPES, _pattern(kinds.names_of(kinds.BATCH_TYPES))),
        "context_type": (kinds.CONTEXTS, _pattern(kinds.names_of(kinds.CONTEXTS), _CONTEXT)),
    }
    for name in sorted(patterns.keys() & properties.keys()):
        (names, pattern), given = patterns[name], properties[name]
        said = {key: value for key, value in given.items() if key not in ("type", "anyOf")}
        nothing = [{"enum": [None, ""]}] if "anyOf" in given else []
        spelt = {"type": "string", "pattern": pattern}
        properties[name] = {**said, "anyOf": [{"enum": list(names)}, spelt, *nothing]}


def _allow_older(properties: Schema, model: type[Model]) -> None:
    older = model.older
    for name in sorted(older.quoted & properties.keys()):
        given = properties[name]
        number = {key: given.pop(key) for key in _NUMBER if key in given}
        digits = "^0*[1-9][0-9]*$" if number.get("minimum") else "^[0-9]+$"
        given["anyOf"] = [number, {"type": "string", "pattern": digits}]
    for name in sorted(older.spent):
        properties[name] = {"deprecated": True, "description": "says nothing, and is left out"}
    for name, (place, inner) in older.moved.items():
        owner = _OWNERS[place]
        field = owner.model_json_schema()["properties"][owner.aliases.get(inner, inner)]
        properties[name] = {**field, "deprecated": True, "description": f"belongs into {place}"}


def _demands(required: Sequence[str], model: type[Model]) -> Iterator[Schema]:
    """Yield what an object must hold, each as a schema."""
    written_down = set(WRITTEN_DOWN) if issubclass(model, Submission) else set()
    for name in required:
        names = [name, *(old for old, new in model.aliases.items() if new == name)]
        if name == "task_list":
            names += sorted(written_down)
        yield _one_of_names(names)
    if issubclass(model, Submission):
        yield _ONE_TARGET
    if issubclass(model, Target):
        yield from _demands_of_context(model)
    if issubclass(model, Resources):
        yield from (_KWARGS, _CUDA)


def _one_of_names(names: Sequence[str]) -> Schema:
    demands: list[Schema] = [{"required": [name]} for name in names]
    return demands[0] if len(demands) == 1 else {"anyOf": demands}


def _of(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


#: a machine under one of its names, or a cluster
_ONE_TARGET: Final[Schema] = {
    "oneOf": [
        {"required": ["machine"], "properties": {"machine": {"type": "object"}}},
        {"required": ["batch"], "properties": {"batch": {"type": "object"}}},
        {"required": ["cluster"], "properties": {"cluster": {"not": {"enum": [None, ""]}}}},
    ]
}
#: any key beside a template of the header, which may speak of it
_KWARGS: Final[Schema] = {
    "if": {
        "required": ["strategy"],
        "properties": {
            "strategy": {
                "required": ["customized_script_header_template_file"],
                "properties": {"customized_script_header_template_file": _SOME},
            }
        },
    },
    "then": {"properties": {"kwargs": {"type": "object"}}},
    "else": {"properties": {"kwargs": _of("Kwargs")}},
}


def contexts() -> Schema:
    """Return the definitions to which the demands of contexts refer: the spellings of each."""
    return {
        _spelt(name): {"type": "string", "pattern": _pattern(kinds.names_of((name,)), _CONTEXT)}
        for name in kinds.CONTEXTS
    }


def _spelt(context: str) -> str:
    return f"Is{context}"


#: a GPU for each slot
_CUDA: Final[Schema] = {
    "if": {
        "required": ["strategy"],
        "properties": {
            "strategy": {
                "required": ["if_cuda_multi_devices"],
                "properties": {"if_cuda_multi_devices": {"const": True}},
            }
        },
    },
    "then": {
        "required": ["gpu_per_node"],
        "properties": {
            "number_node": {"enum": [1, "1"]},
            "gpu_per_node": {"not": {"enum": [0, "0", None]}},
        },
    },
}


def _demands_of_context(model: type[Model]) -> Iterator[Schema]:
    if issubclass(model, Machine):
        yield {"required": ["local_root"]}
    moved: Schema = {"not": {"required": ["hostname"]}} if "hostname" in model.older.moved else {}
    for context, profile in PROFILES.items():
        then: Schema = {"properties": {"remote_profile": _of(profile.__name__)}}
        if any(field.is_required() for field in profile.model_fields.values()):
            then["required"] = ["remote_profile"]
        further = moved if profile is SshProfile else {}
        yield {"if": {**_in_context(context), **further}, "then": then}
    for context in NEED_REMOTE_ROOT:
        root = {"required": ["remote_root"], "properties": {"remote_root": _SOME}}
        yield {"if": _in_context(context), "then": root}


def _in_context(context: str) -> Schema:
    return {"properties": {"context_type": _of(_spelt(context))}, "required": ["context_type"]}


def _pattern(names: Sequence[str], suffix: str = "") -> str:
    """Return a pattern of names in any case, their words together or apart."""
    return f"^({'|'.join(map(_any_case, names))}){suffix}$"


def _any_case(name: str) -> str:
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    return "".join("_?" if one == "_" else f"[{one.upper()}{one.lower()}]" for one in apart)


#: behind the name of a context
_CONTEXT: Final = f"(_?{_any_case('Context')})?"
