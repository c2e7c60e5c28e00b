"""As much of JSON Schema (draft 2020-12) as the published schemas use; a word that is not known here is an error.

>>> fits({"type": "integer", "minimum": 1}, 0)
False
"""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import ge, gt, le, lt
from typing import Any, Final

Schema = dict[str, Any]

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
#: for people, or said beside the word that they belong to
_SILENT: Final = frozenset(
    {"$schema", "$defs", "title", "description", "default", "deprecated", "then", "else", "format"}
    | {"writeOnly", "patternProperties", "additionalProperties"}
)
_BOUNDS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "minimum": ge,
    "exclusiveMinimum": gt,
    "maximum": le,
    "exclusiveMaximum": lt,
}
_LENGTHS: Final = {"minItems": list, "minLength": str, "minProperties": dict}


def fits(schema: Schema, value: Any, root: Schema | None = None) -> bool:
    """Tell whether a value is as a schema says."""
    whole = schema if root is None else root
    said = {word: wanted for word, wanted in schema.items() if word not in _SILENT}
    return all(
        _combined(word, wanted, value, schema, whole) for word, wanted in said.items()
    ) and _keyed(schema, value, whole)


def _combined(word: str, wanted: Any, value: Any, schema: Schema, root: Schema) -> bool:
    if word == "$ref":
        return fits(root["$defs"][wanted.removeprefix("#/$defs/")], value, root)
    if word == "not":
        return not fits(wanted, value, root)
    if word == "if":
        branch = "then" if fits(wanted, value, root) else "else"
        return fits(schema.get(branch, {}), value, root)
    if word in ("anyOf", "oneOf", "allOf"):
        found = sum(fits(one, value, root) for one in wanted)
        return {"anyOf": found > 0, "oneOf": found == 1, "allOf": found == len(wanted)}[word]
    return _single(word, wanted, value, root)


def _single(word: str, wanted: Any, value: Any, root: Schema) -> bool:
    if word == "type":
        return any(_is(value, name) for name in ([wanted] if isinstance(wanted, str) else wanted))
    if word in ("enum", "const"):
        options = wanted if word == "enum" else [wanted]
        return any(
            value == one and isinstance(value, bool) == isinstance(one, bool) for one in options
        )
    if word == "properties":
        return not isinstance(value, dict) or all(
            fits(wanted[key], value[key], root) for key in wanted if key in value
        )
    if word == "items":
        return not isinstance(value, list) or all(fits(wanted, item, root) for item in value)
    return _bounded(word, wanted, value)


def _bounded(word: str, wanted: Any, value: Any) -> bool:
    if word in _BOUNDS:
        return not _is(value, "number") or _BOUNDS[word](value, wanted)
    if word in _LENGTHS:
        return not isinstance(value, _LENGTHS[word]) or len(value) >= wanted
    if word == "pattern":
        return not isinstance(value, str) or re.search(wanted, value) is not None
    if word == "required":
        return not isinstance(value, dict) or all(name in value for name in wanted)
    msg = f"{word!r} is no word of a schema that is known here"
    raise ValueError(msg)


def _keyed(schema: Schema, value: Any, root: Schema) -> bool:
    """Tell whether the keys of which `properties` says nothing are as patterns and the rest of the schema want."""
    if not isinstance(value, dict):
        return True
    patterns: Schema = schema.get("patternProperties", {})
    for key, item in value.items():
        fitting = [one for pattern, one in patterns.items() if re.search(pattern, key)]
        if not all(fits(one, item, root) for one in fitting):
            return False
        if fitting or key in schema.get("properties", {}):
            continue
        further = schema.get("additionalProperties", True)
        if further is False or (further is not True and not fits(further, item, root)):
            return False
    return True


def _is(value: Any, name: str) -> bool:
    return name == "boolean" if isinstance(value, bool) else isinstance(value, _TYPES[name])
