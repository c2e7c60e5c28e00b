"""What a job asks for beyond its run: how often which rule for failures was followed, and nodes that it shall not have.

>>> asks = Asks().once_more("out_of_memory").without("hpc1/n3")
>>> asks.pack()
'out_of_memory=1;!hpc1/n3'
>>> Asks.unpack("out_of_memory=1;!hpc1/n3") == asks
True

It is part of the job's record, beside the number of its tries, so it changes with it or not at all. From it and the
submission's rules follows what the next attempt asks for: nothing else is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobferry_common.names import ClusterName

#: most nodes that a job remembers; the last ones count
_NODES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Asks:
    """What a job asks for beyond its run."""

    #: a kind of failure or an exit code, and how many tries followed by its rule; in the order of the first
    times: tuple[tuple[str, int], ...] = ()
    nodes: tuple[str, ...] = ()  #: `<cluster>/<node>`: where it shall not go again

    def __bool__(self) -> bool:
        """Return False for what nearly all jobs have."""
        return bool(self.times or self.nodes)

    def count(self, rule: str) -> int:
        """Return how many tries followed by a rule."""
        return dict(self.times).get(rule, 0)

    def once_more(self, rule: str) -> Asks:
        """Return what is asked for after one more try by a rule."""
        return replace(self, times=tuple({**dict(self.times), rule: self.count(rule) + 1}.items()))

    def without(self, node: str) -> Asks:
        """Return what is asked for when a node, `<cluster>/<node>`, shall not be had again."""
        rest = tuple(one for one in self.nodes if one != node)
        return replace(self, nodes=(*rest, node)[-_NODES:])

    def nodes_of(self, cluster: ClusterName) -> tuple[str, ...]:
        """Return the nodes of one cluster that shall not be had again."""
        return tuple(node for place, _, node in map(_parted, self.nodes) if place == cluster)

    def pack(self) -> str:
        """Return it as the job's record has it; "" for nothing."""
        return ";".join(self._parts())

    def _parts(self) -> Iterator[str]:
        yield from (f"{rule}={count}" for rule, count in self.times)
        yield from (f"!{node}" for node in self.nodes)

    @classmethod
    def unpack(cls, text: str) -> Asks:
        """Read what `pack` wrote."""
        parts = text.split(";") if text else []
        pairs = [part.partition("=") for part in parts if not part.startswith("!")]
        return cls(
            times=tuple((rule, int(count)) for rule, _, count in pairs),
            nodes=tuple(part[1:] for part in parts if part.startswith("!")),
        )


def _parted(place: str) -> tuple[str, str, str]:
    return place.partition("/")


#: of nearly every job
NOTHING_MORE: Final = Asks()
