"""The outcome of a storm, in words and as JSON.

print(report.text())
report.ok           # False: something was breached, or too little was tested
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.chaos.checker import Count


@dataclass(frozen=True, slots=True, kw_only=True)
class Goals:
    """What has to be reached, or too little was tested."""

    jobs: int
    kills: int
    hits: int  #: of each named point


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All numbers."""

    seed: int
    command: str
    seconds: float
    goals: Goals
    count: Count
    faults: Mapping[str, int]
    kills: int  #: random ones
    hits: Mapping[str, int]  #: named point → processes that died there
    points: Sequence[str]  #: those that were to be hit
    adopted: int
    recalled: int
    refused: int
    restored: int
    put_backs: int  #: times that a run which was set aside was put back
    resumed: int  #: times that a cluster whose jobs had vanished was resumed by hand
    open_runs: Sequence[str]  #: runs that the ledger does not call ended
    runs: int  #: runs in the ledger at the end
    retries: Mapping[str, int]
    strange_ends: Mapping[str, int]
    impatient: int
    missing_places: Sequence[str]

    @property
    def breaches(self) -> list[str]:
        """Return what broke the promise."""
        left = [f"{len(self.open_runs)} runs never ended: {', '.join(self.open_runs[:20])}"]
        return [*self.count.breaches(), *(left if self.open_runs else [])]

    @property
    def untested(self) -> list[str]:
        """Return what was too little to prove anything."""
        found = []
        if not self.adopted:
            found.append("no attempt was adopted: nothing was tested")
        if not self.recalled + self.refused:
            found.append("no claim was ever taken or refused: nothing was tested")
        if self.count.jobs < self.goals.jobs:
            found.append(f"{self.count.jobs} jobs, not {self.goals.jobs}")
        if self.kills < self.goals.kills:
            found.append(f"{self.kills} random kills, not {self.goals.kills}")
        short = [point for point in self.points if self.hits.get(point, 0) < self.goals.hits]
        if short:
            told = ", ".join(f"{point} {self.hits.get(point, 0)}" for point in short)
            found.append(f"points hit less than {self.goals.hits} times: {told}")
        return found

    @property
    def ok(self) -> bool:
        """True when nothing was breached, and enough was tested."""
        return not self.breaches and not self.untested

    def text(self) -> str:
        """Return the report for people."""
        count = self.count
        faults = ", ".join(f"{what} {number}" for what, number in sorted(self.faults.items()))
        hits = ", ".join(f"{point} {self.hits.get(point, 0)}" for point in self.points)
        places = ", ".join(f"{name} {number:,}" for name, number in sorted(count.by_place.items()))
        rows = {
            "command": self.command,
            "time": f"{self.seconds:.0f} s",
            "accepted": f"{count.jobs:,} jobs ({count.tasks:,} tasks) in {count.batches:,} submissions; {places}",
            "finished": f"{count.finished:,} tasks, their results equal; {count.cancelled:,} cancelled as wished",
            "executions": f"{count.executions:,}; {count.again:,} tasks more than once, one after the other",
            "random kills": f"{self.kills}: {faults}",
            "named kills": f"{sum(self.hits.values())} at {len(self.points)} points: {hits}",
            "adopted": f"{self.adopted} attempts; restored after the broker forgot: {self.restored}",
            "claims": f"{self.recalled} taken by the worker and submitted again; {self.refused} jobs refused",
            "by hand": f"{self.put_backs} runs put back after five deaths in a row, {self.resumed} clusters resumed",
            "retried": "; ".join(f"{n} × {what}" for what, n in self.retries.items()) or "nothing",
            "other ends": ", ".join(f"{what}: {n}" for what, n in self.strange_ends.items())
            or "none",
            "not here": "; ".join(self.missing_places) or "nothing",
            "lost": str(len(count.lost)),
            "overlaps": f"{len(count.overlaps)}; {count.given_up} more where a cluster was given up",
            "missing": str(len(count.missing)),
        }
        lines = [f"{name:13} {value}" for name, value in rows.items()]
        lines += [f"BREACH: {what}" for what in self.breaches]
        lines += [f"TOO LITTLE: {what}" for what in self.untested]
        return "\n".join([*lines, "all is well" if self.ok else "FAILED"])

    def data(self) -> dict[str, Any]:
        """Return all of it as JSON has it."""
        return {**asdict(self), "breaches": self.breaches, "untested": self.untested, "ok": self.ok}
