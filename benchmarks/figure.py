"""What a benchmark found: raw values as they came, figures made of them, and how both are written down.

log = Log()
log.note("ours", 24.8, "s")                  # printed, with the load of the machine
Figure(name="submit_many", goal=Goal(bound=2000, unit="a second", at_least=True), values=log.of("many"))
"""

from __future__ import annotations

import os
import statistics
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HEAD: Final = "| figure | median | goal | | rounds |\n|---|---|---|---|---|"
_RAW_HEAD: Final = "| measured | value (load average of the last minute) |\n|---|---|"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A bound on a figure."""

    bound: float
    unit: str
    at_least: bool = False  #: False: at most

    def met(self, value: float) -> bool:
        """Return whether a value keeps the bound."""
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        """Return the bound in words."""
        return f"{'≥' if self.at_least else '≤'} {self.bound:,g} {self.unit}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """One value as it was measured."""

    what: str
    value: float
    unit: str
    load: float  #: load average of the machine's last minute, when it was taken


@dataclass(slots=True)
class Log:
    """The raw values of a benchmark, in the order in which they were measured."""

    raws: list[Raw] = field(default_factory=list)

    def note(self, what: str, value: float, unit: str) -> float:
        """Keep a value, and print it."""
        raw = Raw(what=what, value=value, unit=unit, load=round(os.getloadavg()[0], 1))
        self.raws.append(raw)
        print(f"  {what}: {number(value)} {unit}  (load {raw.load:g})", flush=True)
        return value

    def of(self, what: str) -> tuple[float, ...]:
        """Return the values of one kind, round by round."""
        return tuple(raw.value for raw in self.raws if raw.what == what)

    def ratio(self, what: str, other: str) -> tuple[float, ...]:
        """Return one kind as a multiple of another, round by round."""
        pairs = zip(self.of(what), self.of(other), strict=True)
        return tuple(mine / theirs for mine, theirs in pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure: a goal, and a value for each round."""

    name: str
    goal: Goal | None = None  #: None: told without a bound
    values: tuple[float, ...]  #: one of each round, in the order of the rounds
    unit: str = ""  #: where there is no goal
    note: str = ""  #: how it is to be read
    why: str = ""  #: what it is due to, told when the goal is missed

    @property
    def value(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.values)

    @property
    def missed(self) -> bool:
        """Whether there is a goal that was not reached."""
        return self.goal is not None and not self.goal.met(self.value)

    def row(self) -> str:
        """Return a row of the table: name, value, goal, verdict, values of the rounds."""
        unit = self.goal.unit if self.goal else self.unit
        verdict = "" if self.goal is None else "**missed**" if self.missed else "reached"
        rounds = ", ".join(map(number, self.values))
        goal = str(self.goal) if self.goal else ""
        return f"| {self.name} | {number(self.value)} {unit} | {goal} | {verdict} | {rounds} |"

    def remarks(self) -> list[str]:
        """Return what is to be said beside the table."""
        said = [self.note, self.why if self.missed else ""]
        return [f"- {self.name}: {text}" for text in said if text]


def number(value: float) -> str:
    """Return a value with as many digits as it deserves."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """The figures that one command measures together."""

    title: str
    command: str  #: that measures them again
    about: str  #: what is compared with what
    figures: tuple[Figure, ...]
    raws: tuple[Raw, ...]
    date: str = ""  #: when it was measured

    def markdown(self) -> str:
        """Return the section as it stands in docs/benchmarks.md."""
        remarks = [remark for figure in self.figures for remark in figure.remarks()]
        parts = [
            f"## {self.title}",
            f"    {self.command}",
            self.about,
            "\n".join([_HEAD, *(figure.row() for figure in self.figures)]),
            "\n".join(remarks),
            f"Raw values, measured {self.date}:",
            "\n".join([_RAW_HEAD, *_rows(self.raws)]),
        ]
        return "\n\n".join(part for part in parts if part)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return asdict(self)

    @classmethod
    def of_json(cls, given: Mapping[str, Any]) -> Section:
        """Read what `as_json` wrote."""
        figures = tuple(_figure(figure) for figure in given["figures"])
        raws = tuple(Raw(**raw) for raw in given["raws"])
        return cls(**{**given, "figures": figures, "raws": raws})


def _figure(given: Mapping[str, Any]) -> Figure:
    goal = Goal(**given["goal"]) if given["goal"] else None
    return Figure(**{**given, "goal": goal, "values": tuple(given["values"])})


def _rows(raws: Sequence[Raw]) -> list[str]:
    kinds: dict[tuple[str, str], list[str]] = {}
    for raw in raws:
        text = f"{number(raw.value)} ({raw.load:g})"
        kinds.setdefault((raw.what, raw.unit), []).append(text)
    return [f"| {what}, {unit} | {', '.join(texts)} |" for (what, unit), texts in kinds.items()]
