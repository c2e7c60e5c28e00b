"""Keys that a file gives more than once: JSON and YAML take the last one without a word, TOML refuses.

>>> list(doubled(json.loads('{"a": [{"b": 1, "b": 2}]}', object_pairs_hook=object_of)))
[('a', 0, 'b')]
"""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Way = tuple[int | str, ...]

_Key = TypeVar("_Key")


class _Doubled(dict[Any, Any]):
    """An object in which keys were given more than once: the last one counted."""

    twice: tuple[str, ...] = ()


def doubled(data: Any, above: Way = ()) -> Iterator[Way]:  # noqa: ANN401
    """Find the keys that were given more than once in what a file held, each by its way from the top."""
    if isinstance(data, _Doubled):
        yield from ((*above, key) for key in data.twice)
    inner = data.items() if isinstance(data, dict) else ()
    for step, item in enumerate(data) if isinstance(data, list) else inner:
        if isinstance(item, dict | list):
            yield from doubled(item, (*above, step))


def like(data: dict[Any, Any], fresh: dict[Any, Any]) -> dict[Any, Any]:
    """Return `fresh` with the note of which keys `data` was given more than once."""
    known = [one.twice for one in (data, fresh) if isinstance(one, _Doubled)]
    return noted(fresh, chain.from_iterable(known))


def noted(data: dict[Any, Any], twice: Iterable[str]) -> dict[Any, Any]:
    """Return the data with the note that these of its keys were given more than once."""
    # `_comment` and the like are no keys
    names = tuple(dict.fromkeys(name for name in twice if not name.startswith("_")))
    if not names:
        return data
    found = _Doubled(data)
    found.twice = names
    return found


def repeated(keys: Iterable[_Key]) -> list[_Key]:
    """Return the keys that occur more than once."""
    return [key for key, times in Counter(keys).items() if times > 1]


def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON: the `object_pairs_hook`."""
    data = dict(pairs)
    return data if len(data) == len(pairs) else noted(data, repeated(key for key, _ in pairs))
