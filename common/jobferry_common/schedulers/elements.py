"""Arrays in answers of schedulers: 100,000 waiting elements are one line there, and one bitmap here.

>>> indices("1,3,5-9:2%4")
Indices({1, 3, 5, 7, 9})
>>> compact([SchedulerId("7_1"), SchedulerId("7_2"), SchedulerId("9")], Joined("_"))
{'7': '1-2', '9': None}

Each batch system writes the id of an element in its own way, its `Form`: `257_3`, `257[3]`, `257.3`, `257[3].server`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from jobferry_common.errors import UnreadableOutput
from jobferry_common.names import SchedulerId

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobferry_common.schedulers.base import Seen

_PART: Final = re.compile(r"(\d+)(?:-(\d+)(?::(\d+))?)?\Z", re.ASCII)
#: no scheduler has larger arrays; protects memory against a garbled number
_MOST: Final = 10_000_000


class Indices:
    """A set of indices of an array, one byte each."""

    __slots__ = ("_bits",)

    def __init__(self, parts: Iterable[range]) -> None:
        spans = [part for part in parts if part]
        self._bits = bytearray(max((span[-1] + 1 for span in spans), default=0))
        for span in spans:
            self._bits[span[0] : span[-1] + 1 : span.step] = b"\1" * len(span)

    def __contains__(self, index: int) -> bool:
        """True when the index is in the set."""
        return 0 <= index < len(self._bits) and bool(self._bits[index])

    def __iter__(self) -> Iterator[int]:
        """Return the indices in order."""
        return (index for index, bit in enumerate(self._bits) if bit)

    def __len__(self) -> int:
        """Return how many there are."""
        return self._bits.count(1)

    def __repr__(self) -> str:
        """Return all of them."""
        return f"Indices({{{', '.join(map(str, self))}}})"


def indices(text: str) -> Indices:
    """Read a scheduler's list of indices, such as `2-3,7,10-20:2%5`.

    Raises:
        UnreadableOutput: it is none; also when the scheduler cut it short with `...`.
    """
    return Indices(_span(part, text) for part in text.partition("%")[0].split(","))


def _span(part: str, text: str) -> range:
    if not (match := _PART.match(part)):
        msg = f"{part!r} is no index or range of indices, in {text!r}"
        raise UnreadableOutput(msg)
    first, last, step = (int(number) if number else None for number in match.groups())
    span = range(first or 0, (last if last is not None else first or 0) + 1, step or 1)
    if span and span[-1] > _MOST:
        msg = f"index {span[-1]} is too large to be true, in {text!r}"
        raise UnreadableOutput(msg)
    return span


class Form(Protocol):
    """How ids of elements are written."""

    def element(self, array: SchedulerId, index: int) -> SchedulerId:
        """Return the id of one element."""
        ...

    def split(self, key: SchedulerId) -> tuple[SchedulerId, int | None]:
        """Return the array and the index of an element; of anything else itself, and None."""
        ...


@dataclass(frozen=True, slots=True)
class Joined:
    """The index stands at the end: `257_3` with `Joined("_")`, `257[3]` with `Joined("[", "]")`."""

    before: str  #: what stands between array and index
    after: str = ""  #: what stands after the index

    def element(self, array: SchedulerId, index: int) -> SchedulerId:
        """Return the id of one element."""
        return SchedulerId(f"{array}{self.before}{index}{self.after}")

    def split(self, key: SchedulerId) -> tuple[SchedulerId, int | None]:
        """Return the array and the index of an element; of anything else itself, and None."""
        array, found, rest = key.rpartition(self.before)
        index = rest.removesuffix(self.after)
        if found and index.isdecimal() and rest.endswith(self.after):
            return SchedulerId(array), int(index)
        return key, None


@dataclass(frozen=True, slots=True)
class Jobs(Mapping[SchedulerId, "Seen"]):
    """Jobs of a listing: those told one by one, then elements that share one line."""

    single: Mapping[SchedulerId, Seen]
    #: array → (indices, what is said of each of them)
    shared: Mapping[SchedulerId, list[tuple[Indices, Seen]]]
    form: Form  #: of the ids of elements

    def __getitem__(self, key: SchedulerId) -> Seen:
        """Return what is said of a job or of an element."""
        if seen := self.single.get(key):
            return seen
        array, index = self.form.split(key)
        if index is not None:
            for members, seen in self.shared.get(array, ()):
                if index in members:
                    return replace(seen, id=key)
        raise KeyError(key)

    def __iter__(self) -> Iterator[SchedulerId]:
        """Return every id, elements included."""
        yield from self.single
        for array, lines in self.shared.items():
            for index in sorted(set().union(*(members for members, _ in lines))):
                if (key := self.form.element(array, index)) not in self.single:
                    yield key

    def __len__(self) -> int:
        """Return the number of jobs and elements."""
        return sum(1 for _ in self)


def compact(ids: Iterable[SchedulerId], form: Form) -> dict[SchedulerId, str | None]:
    """Return job → None, and array → its wanted indices as `0-3,7`; whoever names the array means all of it."""
    found: dict[SchedulerId, list[int] | None] = {}
    for key in ids:
        array, index = form.split(key)
        members = found.setdefault(array, [])
        if index is None:
            found[array] = None
        elif members is not None:
            members.append(index)
    return {array: None if of is None else _ranges(of) for array, of in found.items()}


def _ranges(members: Iterable[int]) -> str:
    spans: list[tuple[int, int]] = []
    for index in sorted(set(members)):
        if spans and index == spans[-1][1] + 1:
            spans[-1] = (spans[-1][0], index)
        else:
            spans.append((index, index))
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)
