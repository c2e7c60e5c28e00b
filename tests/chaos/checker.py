"""What came of it: by the tasks' own log, by the content of each result, by the ledger.

results = Results(seed, places, journals)
results.look()                              # again and again: each batch that is done is compared, then removed
intervals(log)                              # {"12.3": [Interval(id="4711_3", start=…, end=…)]}
"""

from __future__ import annotations

import math
import shutil
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.chaos.batches import Batch, batch
from tests.chaos.task import SHELL, expected

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from tests.chaos.journal import Journal

#: breaches that are named in full
_SHOWN: Final = 20


class Interval(NamedTuple):
    """One execution of a task, as it logged it itself."""

    start: float
    end: float  #: infinite if it never told its end
    id: str  #: the scheduler's
    pid: str

    @property
    def is_of_shell(self) -> bool:
        """Tell which of the schedulers started it."""
        return self.id.startswith(SHELL)


def intervals(log: Path) -> dict[str, list[Interval]]:
    """Return the executions of each task, by start."""
    open_: dict[tuple[str, str, str], float] = {}
    found: dict[str, list[Interval]] = defaultdict(list)
    with log.open() as lines:
        for line in lines:
            kind, key, id_, pid, time = line.split()
            who = (key, id_, pid)
            if kind == "s":
                open_[who] = float(time)
            else:
                found[key].append(Interval(open_.pop(who), float(time), id_, pid))
    for (key, id_, pid), start in open_.items():
        found[key].append(Interval(start, math.inf, id_, pid))
    return {key: sorted(executions) for key, executions in found.items()}


def overlapping(executions: Sequence[Interval]) -> list[tuple[Interval, Interval]]:
    """Return the pairs of executions of one task, by start, of which the second began before the first ended."""
    pairs: list[tuple[Interval, Interval]] = []
    for number, second in enumerate(executions):
        pairs += [(first, second) for first in executions[:number] if second.start < first.end]
    return pairs


def is_allowed(one: Batch, first: Interval, second: Interval) -> bool:
    """Tell whether two executions may overlap: what was given up at a cluster may still run there."""
    return one.given_up and first.is_of_shell is not second.is_of_shell


@dataclass(slots=True)
class Count:
    """What is counted of the work."""

    batches: int = 0
    jobs: int = 0
    tasks: int = 0
    finished: int = 0  #: tasks of batches that finished, with the right result back
    cancelled: int = 0  #: tasks of batches that were cancelled as they should be
    missing: list[str] = field(default_factory=list)  #: results that are not there, or wrong
    lost: list[str] = field(default_factory=list)  #: tasks of batches that never became final
    never_ran: list[str] = field(default_factory=list)  #: of batches that are called finished
    overlaps: list[str] = field(default_factory=list)
    given_up: int = 0  #: pairs of executions that overlapped because one was given up where it ran
    executions: int = 0
    again: int = 0  #: tasks that were begun more than once, one after the other
    by_place: dict[str, int] = field(default_factory=dict)

    def breaches(self) -> list[str]:
        """Return a sentence for each kind of breach."""
        kinds: Mapping[str, Sequence[str]] = {
            "lost": self.lost,
            "overlapping": self.overlaps,
            "missing": self.missing,
            "finished without having run": self.never_ran,
        }
        return [
            f"{len(cases)} {kind}: {', '.join(cases[:_SHOWN])}"
            for kind, cases in kinds.items()
            if cases
        ]


class Results:
    """Compares each batch that is done, once, and removes its files."""

    def __init__(self, seed: int, places: Sequence[str], journals: Iterable[Journal]) -> None:
        self._seed = seed
        self._places = tuple(places)
        self._journals = tuple(journals)
        #: batch → how it ended
        self.done: dict[int, str] = {}
        self.bases: list[Path] = []
        self.missing: list[str] = []
        self.retries: Counter[str] = Counter()

    def look(self) -> None:
        """Compare what is newly done."""
        for journal in self._journals:
            for word, number, text in journal.news():
                if word == "done" and number not in self.done:
                    self._compare(number, text)
                elif word in ("ended", "lack"):
                    self.retries[f"{word}: {text[:100]}"] += 1

    def _compare(self, number: int, how: str) -> None:
        one = batch(self._seed, number, self._places)
        bases = [base / f"b{number}" for base in self.bases if (base / f"b{number}").exists()]
        for task in range(one.tasks) if how == "finished" else ():
            path = bases[0] / f"t{task}" / "out" if bases else None
            wanted = expected(self._seed, one, task)
            if path is None or not path.exists() or path.read_text() != wanted:
                self.missing.append(f"{one.place} {one.key(task)}")
        self.done[number] = how
        for base in bases if not any(f" {number}." in case for case in self.missing) else ():
            shutil.rmtree(base, ignore_errors=True)

    def count(self, begun: int, log: Path) -> Count:
        """Return what came of the first `begun` batches."""
        count = Count(batches=begun, missing=list(self.missing))
        ran = intervals(log)
        for number in range(begun):
            one = batch(self._seed, number, self._places)
            count.jobs += one.jobs
            count.tasks += one.tasks
            count.by_place[one.place] = count.by_place.get(one.place, 0) + one.jobs
            keys = [one.key(task) for task in range(one.tasks)]
            match self.done.get(number):
                case None:
                    count.lost += [f"{one.place} {key}" for key in keys]
                case "finished":
                    count.finished += one.tasks
                    count.never_ran += [f"{one.place} {key}" for key in keys if key not in ran]
                case _:
                    count.cancelled += one.tasks
        count.finished -= len(count.missing)
        for key, executions in ran.items():
            self._count_executions(count, key, executions)
        return count

    def _count_executions(self, count: Count, key: str, executions: Sequence[Interval]) -> None:
        one = batch(self._seed, int(key.partition(".")[0]), self._places)
        count.executions += len(executions)
        count.again += len(executions) > 1
        for first, second in overlapping(executions):
            if is_allowed(one, first, second):
                count.given_up += 1
            else:
                count.overlaps.append(f"{key} {first.id} {second.id}")
