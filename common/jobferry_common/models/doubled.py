"""Keys that a file gives more than once: JSON and YAML take the last one without a word, TOML refuses.

>>> list(doubled(json.loads('{"a": [{"b": 1, "b": 2}]}', object_pairs_hook=object_of)))
[('a', 0, 'b')]
"""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

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
    return _noted(fresh, chain.from_iterable(known))


def _noted(data: dict[Any, Any], twice: Iterable[str]) -> dict[Any, Any]:
    # `_comment` and the like are no keys
    names = tuple(dict.fromkeys(name for name in twice if not name.startswith("_")))
    if not names:
        return data
    found = _Doubled(data)
    found.twice = names
    return found


def _repeated(keys: Iterable[_Key]) -> list[_Key]:
    return [key for key, times in Counter(keys).items() if times > 1]


def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON: the `object_pairs_hook`."""
    data = dict(pairs)
    return data if len(data) == len(pairs) else _noted(data, _repeated(key for key, _ in pairs))


class Loader(yaml.SafeLoader):
    """The safe loader of YAML, which sees keys that are given more than once."""

    def compose_mapping_node(self, anchor: Any) -> Any:  # noqa: ANN401
        """Note the keys as they stand in the text."""
        # here, because what `<<` brings is put among the keys later, and may be overridden
        node: Any = super().compose_mapping_node(anchor)
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = _repeated((key.tag, key.value) for key in keys if key.value != "<<")
        node.noted = _noted({}, (name for _, name in twice))
        return node

    def construct_yaml_map(self, node: Any) -> Generator[dict[Any, Any], None, None]:  # noqa: ANN401
        """Do what the safe loader does, with the note."""
        data = node.noted
        yield data
        data.update(self.construct_mapping(node))


Loader.add_constructor("tag:yaml.org,2002:map", Loader.construct_yaml_map)
