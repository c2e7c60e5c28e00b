"""What objects of older files say in another place, in other words, or to nobody.

>>> old = Older(moved={"custom_gpu_line": ("kwargs", "custom_gpu_line")}, quoted=frozenset({"number_node"}))
>>> of_today({"number_node": "2", "custom_gpu_line": "#"}, old)[0]
{'number_node': 2, 'kwargs': {'custom_gpu_line': '#'}}

Each model names its own, so that loading, `jobferry convert` and the schemas agree on them.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Older:
    """What an object of an older file may hold besides the fields of today."""

    #: key → the field, and the key in it, that says so now
    moved: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    #: keys that DPDispatcher reads over: they are left out, and that is told
    spent: frozenset[str] = frozenset()
    #: fields whose whole numbers were written as text
    quoted: frozenset[str] = frozenset()
    #: keys that nothing can be made of → what to say in their place
    refused: Mapping[str, str] = field(default_factory=dict)
    #: all that changes something
    keys: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        """Gather the keys, so that objects without any cost one look."""
        object.__setattr__(self, "keys", self.quoted | self.spent | self.moved.keys())


def of_today(data: dict[str, Any], older: Older) -> tuple[dict[str, Any], list[str]]:
    """Return an object as one would write it now, and what is different there."""
    if older.keys.isdisjoint(data):
        return data, []
    changes: list[str] = []
    found: dict[str, Any] = {}
    for key, value in data.items():
        if key in older.spent:
            changes.append(f"{key}: left out, it says nothing")
        elif key in older.quoted and _is_number(value):
            changes.append(f"{key}: {value!r} → {int(value)}")
            found[key] = int(value)
        elif not _is_movable(key, data, older):
            found[key] = value
    for key in sorted(older.moved.keys() & data.keys()):
        if _is_movable(key, data, older):
            place, name = older.moved[key]
            found[place] = {**(found.get(place) or {}), name: data[key]}
            changes.append(f"{key} → {place}.{name}")
    return found, changes


def tell_spent(data: Mapping[str, Any], older: Older, label: str) -> None:
    """Say which keys of an object are left out."""
    for key in sorted(older.spent.intersection(data)):
        _tell(label, key)


@cache  # each of a hundred thousand tasks may hold it
def _tell(label: str, key: str) -> None:
    _log.warning(
        "%s: %r says nothing, to DPDispatcher neither; `jobferry convert FILE` leaves it out",
        label,
        key,
        extra={"action": "leave_out"},
    )


def _is_number(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isdecimal()


def _is_movable(key: str, data: Mapping[str, Any], older: Older) -> bool:
    """Tell whether a key can go where it belongs: nothing there says the same, or is no object."""
    if key not in older.moved:
        return False
    name, inner = older.moved[key]
    place = data.get(name) or {}
    return isinstance(place, dict) and inner not in place
