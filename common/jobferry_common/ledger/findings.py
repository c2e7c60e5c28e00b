"""What fetching the results of a run found. It is still known when the run's directory on the cluster is gone.

ledger.note_failures(run, {0: [FailedTask(task=2, code=7)]})
ledger.failures(run, [0])  # {0: [FailedTask(task=2, code=7)]}
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jobferry_common.ledger.records import JobRecord
from jobferry_common.ledger.runs import RunsPart
from jobferry_common.ledger.takeover import TAKEN_OVER
from jobferry_common.states import JobState, RunState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jobferry_common.names import RunId

#: failed tasks of one job that are kept; nobody reads more of them
_TASKS: Final = 100
#: fields that one call writes
_AT_ONCE: Final = 1000
_FINDINGS: Final = "findings"
_LACK: Final = "lack"
_ENDED: Final = frozenset({JobState.FINISHED, JobState.FAILED})


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedTask:
    """A task that failed, as its job's exit record tells it."""

    task: int  #: index in job order
    code: int  #: exit code; 0 when files are missing
    missing: tuple[str, ...] = ()  #: backward patterns without a file


class FindingsPart(RunsPart):
    """Facts of jobs that the cluster holds only until it is cleaned."""

    def failed_among(self, run: RunId, jobs: Sequence[int]) -> dict[int, int]:
        """Return the failed ones among jobs, each with its last attempt."""
        if not jobs:
            return {}
        texts = self.ask("HMGET", self.key("run", run, "jobs"), *jobs)
        records = {
            job: JobRecord.unpack(text) for job, text in zip(jobs, texts, strict=True) if text
        }
        return {
            job: record.attempt
            for job, record in records.items()
            if record.state is JobState.FAILED
        }

    def superseded(self, run: RunId, jobs: Sequence[int]) -> dict[int, RunId]:
        """Return those of a run's jobs whose places at the producer belong to another run by now, and which run."""
        other = self.displaced_by(run)
        return dict.fromkeys(jobs, other) if other else self.done_again(run, jobs)

    def done_again(self, run: RunId, jobs: Sequence[int]) -> dict[int, RunId]:
        """Return those of a run's jobs that a later run of the same destination carried out, and which run."""
        found: dict[int, RunId] = {}
        for later in self._later(run) if jobs else ():
            texts = self.ask("HMGET", self.key("run", later, "jobs"), *jobs)
            for job, text in zip(jobs, texts, strict=True):
                if text and _was_carried_out(JobRecord.unpack(text)):
                    found[job] = later
        return found

    def ended_later(self, run: RunId) -> RunId | None:
        """Return the last run of the same destination that began later and has ended; None if there is none."""
        ended = {state.value for state in RunState if state.is_final}
        for later in reversed(self._later(run)):
            if self.ask("HGET", self.key("run", later), "state") in ended:
                return later
        return None

    def _later(self, run: RunId) -> list[RunId]:
        number = _number(run)
        return [one for one in self.siblings(run) if _number(one) > number]

    def note_failures(self, run: RunId, failures: Mapping[int, Iterable[FailedTask]]) -> None:
        """Keep which tasks of failed jobs failed."""
        pairs = [(job, text) for job, tasks in failures.items() if (text := _pack(tasks)) != "[]"]
        for start in range(0, len(pairs), _AT_ONCE):
            flat = [part for pair in pairs[start : start + _AT_ONCE] for part in pair]
            self.call("note", run, _FINDINGS, *flat)

    def failures(self, run: RunId, jobs: Sequence[int]) -> dict[int, list[FailedTask]]:
        """Return the failed tasks of those jobs of which they are known."""
        if not jobs:
            return {}
        texts = self.ask("HMGET", self.key("run", run, _FINDINGS), *jobs)
        return {job: _unpack(text) for job, text in zip(jobs, texts, strict=True) if text}

    def note_lack(self, run: RunId, text: str) -> None:
        """Keep that a result did not come back: the run is not removed from its cluster by itself."""
        self.call("note", run, _FINDINGS, _LACK, text)

    def lack(self, run: RunId) -> str:
        """Return which result did not come back; empty if all did."""
        return self.ask("HGET", self.key("run", run, _FINDINGS), _LACK) or ""


def _number(run: RunId) -> int:
    return int(run.rpartition("-")[2])


def _was_carried_out(record: JobRecord) -> bool:
    return record.state in _ENDED and not record.reason.startswith(TAKEN_OVER)


def _pack(tasks: Iterable[FailedTask]) -> str:
    rows = [[one.task, one.code, *one.missing] for one in tasks]
    return json.dumps(rows[:_TASKS], separators=(",", ":"))


def _unpack(text: str) -> list[FailedTask]:
    return [
        FailedTask(task=task, code=code, missing=tuple(missing))
        for task, code, *missing in json.loads(text)
    ]
