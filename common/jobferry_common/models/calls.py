"""How programs for DPDispatcher call models: by position, by its names, with paths, and with None for "nothing".

>>> @also("json_path", "json_file")
... def load(path: str) -> str:
...     return path
>>> load("machine.json"), load(json_path="machine.json")
('machine.json', 'machine.json')
"""

from __future__ import annotations

import os
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pydantic.fields import FieldInfo

F = TypeVar("F", bound="Callable[..., Any]")


def also(*names: str) -> Callable[[F], F]:
    """Let what comes first of a function's arguments be given under other names, too."""

    def known(function: F) -> F:
        @wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever it returns
            given = [kwargs.pop(name) for name in names if name in kwargs]
            return function(*args, *given, **kwargs)

        return cast("F", called)

    return known


def by_name(
    name: str, fields: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the arguments of a call under the names of fields.

    Raises:
        TypeError: there are more than fields, or one is given twice, as for any function of Python's.
    """
    if len(args) > len(fields):
        msg = f"{name}() takes {len(fields)} positional arguments but {len(args)} were given"
        raise TypeError(msg)
    given = dict(zip(fields, args, strict=False))
    for key in given.keys() & kwargs.keys():
        msg = f"{name}() got multiple values for argument {key!r}"
        raise TypeError(msg)
    return given | dict(kwargs)


def plain(given: Mapping[str, Any], fields: Mapping[str, FieldInfo]) -> dict[str, Any]:
    """Return a call's values with paths as text, and without None where an empty list or object is meant."""
    return {
        key: _as_text(value)
        for key, value in given.items()
        if value is not None or not _holds_more(fields.get(key))
    }


def _as_text(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, list | tuple):
        return [_as_text(item) for item in value]
    return value


def _holds_more(field: FieldInfo | None) -> bool:
    """Tell whether a field that is left out is an empty list, an empty object, or the defaults of one."""
    default = field.get_default(call_default_factory=True) if field else None
    return not (default is None or isinstance(default, str | int | float))
