"""From pydantic's errors to `Problem`s: what is wrong, where, and what was expected.

submission.json: resources.gruop_size: is no known key; did you mean 'group_size'?
submission.json: task_list[3].command: expected text, got 5
"""

from __future__ import annotations

import difflib
import types
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from jobferry_common.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pydantic_core import ErrorDetails

    from jobferry_common.models.older import Older

    Location = tuple[int | str, ...]

_OWN: Final = "jobferry"
_SHOWN_CHARACTERS: Final = 60
_SECRET: Final = frozenset(
    {"password", "passphrase", "totp_secret", "access_key", "app_key", "ticket", "token"}
)

_EXPECTED: Final[Mapping[str, str]] = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "an object of keys and values",
    "mapping_type": "an object of keys and values",
    "model_type": "an object of keys and values",
    "model_attributes_type": "an object of keys and values",
    "invalid_key": "text as a key",
    "none_required": "null",
}
_BOUNDS: Final[Mapping[str, tuple[str, str]]] = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("more than", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("less than", "lt"),
}


def fault(what: str, where: Location = ()) -> InitErrorDetails:
    """Return an error of one's own, for `together`."""
    return InitErrorDetails(type=_own(what), loc=where, input=None)


def together(
    title: str, faults: Sequence[InitErrorDetails], check: Callable[[], object]
) -> ValidationError:
    """Return one error with `faults` and all that `check` finds besides."""
    lines = list(faults)
    try:
        check()
    except ValidationError as error:
        lines += [_again(detail) for detail in error.errors(include_url=False)]
    return ValidationError.from_exception_data(title, lines)


def problems_of(
    error: ValidationError,
    model: type[BaseModel],
    data: Any,  # noqa: ANN401
    label: str,
) -> list[Problem]:
    """Return every fault, by its path in the input."""
    details = error.errors(include_url=False)
    misspelt = {
        (*detail["loc"][:-1], name)
        for detail in details
        if detail["type"] == "extra_forbidden"
        for name in _near(detail["loc"], model, data)
    }
    return [
        Problem(place_of(label, detail["loc"]), _what(detail, model, data))
        for detail in details
        if not (detail["type"] == "missing" and detail["loc"] in misspelt)
    ]


def shown(value: Any) -> str:  # noqa: ANN401
    """Return a value for a message, cut to a line."""
    try:
        text = repr(value)
    except ValueError:  # a hexadecimal number may be longer than Python writes out
        return "a number of very many digits"
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _own(what: str) -> PydanticCustomError:
    return PydanticCustomError(_OWN, "{what}", {"what": what})


def _again(detail: ErrorDetails) -> InitErrorDetails:
    kind: str | PydanticCustomError = detail["type"]
    context = detail.get("ctx", {})
    if kind == _OWN:
        kind, context = _own(context["what"]), {}
    return InitErrorDetails(type=kind, loc=detail["loc"], input=detail["input"], ctx=context)


def place_of(label: str, location: Location) -> str:
    """Return a place in an input: `submission.json: task_list[3].command`."""
    path = ""
    for step in location:
        if step == "[key]":
            continue
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else str(step)
    return f"{label}: {path}" if path else label


def _what(detail: ErrorDetails, model: type[BaseModel], data: Any) -> str:  # noqa: ANN401
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "missing":
        return "is missing" + _description(detail["loc"], model, data)
    if kind == "extra_forbidden":
        return _unknown(detail["loc"], model, data)
    if kind == _OWN:
        return str(context["what"])
    if kind == "value_error":
        return str(context["error"])
    return f"{_expectation(detail)}{_got(detail)}"


def _expectation(detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in _BOUNDS:
        words, key = _BOUNDS[kind]
        return f"expected {words} {context[key]:,.15g}"
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}"
    return detail["msg"][:1].lower() + detail["msg"][1:]


def _got(detail: ErrorDetails) -> str:
    if _SECRET.intersection(map(str, detail["loc"])):
        return ""
    value = detail["input"]
    if isinstance(value, dict):
        return ", got an object"
    if isinstance(value, bool) or value is None:
        return f", got {'null' if value is None else str(value).lower()}"
    return f", got {shown(value)}"


def _description(location: Location, model: type[BaseModel], data: Any) -> str:  # noqa: ANN401
    owner = _model_at(location[:-1], model, data)
    field = owner.model_fields.get(str(location[-1])) if owner else None
    return f"; expected {field.description}" if field and field.description else ""


def _unknown(location: Location, model: type[BaseModel], data: Any) -> str:  # noqa: ANN401
    owner = _model_at(location[:-1], model, data)
    older: Older | None = getattr(owner, "older", None)
    if older and location[-1] in older.refused:
        return f"is refused: {older.refused[str(location[-1])]}"
    near = _near(location, model, data)
    if near:
        return f"is no known key; did you mean {near[0]!r}?"
    names = ", ".join(owner.model_fields) if owner else ""
    return f"is no known key; expected {f'one of {names}' if names else 'no key at all'}"


def _near(location: Location, model: type[BaseModel], data: Any) -> list[str]:  # noqa: ANN401
    owner = _model_at(location[:-1], model, data)
    names = list(owner.model_fields) if owner else []
    return difflib.get_close_matches(str(location[-1]), names, n=1)


def _model_at(location: Location, model: type[BaseModel], data: Any) -> type[BaseModel] | None:  # noqa: ANN401
    found: type[BaseModel] | None = model
    keyed = False  # the next step is a key of the user's own, such as an exit code
    for step in location:
        if isinstance(step, str) and found is not None and not keyed:
            keyed = _is_keyed(found, step)
            found = _part(found, step, data)
        else:
            keyed = False
        data = _inner(data, step)
    return found


def _is_keyed(model: type[BaseModel], name: str) -> bool:
    field = model.model_fields.get(name)
    return field is not None and get_origin(field.annotation) is dict


def _part(model: type[BaseModel], name: str, data: Any) -> type[BaseModel] | None:  # noqa: ANN401
    dependent: Callable[[str, Any], type[BaseModel] | None] | None = getattr(model, "part", None)
    special = dependent(name, data) if dependent else None
    if special is not None:
        return special
    field = model.model_fields.get(name)
    return _model_in(field.annotation) if field else None


def _model_in(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    if get_origin(annotation) is None:
        return None
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def _inner(data: Any, step: int | str) -> Any:  # noqa: ANN401
    try:
        return data[step]
    except (KeyError, IndexError, TypeError):
        return None
