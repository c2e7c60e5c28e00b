"""YAML, safely, with a note of keys that are given more than once.

>>> dict(yaml.load("{a: 1, b: [2]}", Loader))
{'a': 1, 'b': [2]}

A module of its own, so that who reads no YAML need not load a library for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from jobferry_common.models.doubled import noted, repeated

if TYPE_CHECKING:
    from collections.abc import Generator


class Loader(yaml.SafeLoader):
    """The safe loader of YAML, which sees keys that are given more than once."""

    def compose_mapping_node(self, anchor: Any) -> Any:  # noqa: ANN401
        """Note the keys as they stand in the text."""
        # here, because what `<<` brings is put among the keys later, and may be overridden
        node: Any = super().compose_mapping_node(anchor)
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = repeated((key.tag, key.value) for key in keys if key.value != "<<")
        node.noted = noted({}, (name for _, name in twice))
        return node

    def construct_yaml_map(self, node: Any) -> Generator[dict[Any, Any], None, None]:  # noqa: ANN401
        """Do what the safe loader does, with the note."""
        data = node.noted
        yield data
        data.update(self.construct_mapping(node))


Loader.add_constructor("tag:yaml.org,2002:map", Loader.construct_yaml_map)
