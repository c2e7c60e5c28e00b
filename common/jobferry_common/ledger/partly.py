"""Tasks that succeeded in jobs that did not: what a later run of the submission need not do again.

    ledger.note_done(run, {0: {0, 1, 3}})   # task 2 of job 0 failed
    ledger.done_tasks(run)                  # {0: {0, 1, 3}}
    ledger.taken_tasks(later, [0])          # {0, 1, 3}: the later run took them over

Tasks are indices in job order. They are kept job by job, as a compressed bitmap: 100,000 tasks of one job take some
kilobytes at most.
"""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING, Final

from jobferry_common.ledger.records import JobRecord
from jobferry_common.ledger.specs import SpecsPart
from jobferry_common.states import JobState

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from jobferry_common.names import RunId

#: jobs that one call reads or writes
_AT_ONCE: Final = 1000
_DONE: Final = "done"
_TAKEN: Final = "taken"


class PartlyPart(SpecsPart):
    """Tasks of jobs that are done in part."""

    def note_done(self, run: RunId, done: Mapping[int, Collection[int]]) -> None:
        """Keep which tasks of jobs that did not finish succeeded, and have their results at the producer."""
        header = self.header(run)
        jobs = [job for job, tasks in done.items() if tasks]
        for start in range(0, len(jobs), _AT_ONCE):
            part = jobs[start : start + _AT_ONCE]
            texts = self.ask("HMGET", self.key("run", run, "jobs"), *part)
            flat: list[str | int] = []
            for job, text in zip(part, texts, strict=True):
                if text and JobRecord.unpack(text).state is not JobState.FINISHED:
                    flat += [job, pack_tasks(done[job], header.tasks_of(job))]
            if flat:
                self.call("note", run, _DONE, *flat)

    def done_tasks(self, run: RunId) -> dict[int, set[int]]:
        """Return the tasks that succeeded in jobs that did not finish, in this run or one it resumes."""
        found = self._tasks(run, _DONE)
        for job, tasks in self._tasks(run, _TAKEN).items():
            found[job] = found.get(job, set()) | tasks
        return found

    def all_taken_tasks(self, run: RunId) -> dict[int, set[int]]:
        """Return the tasks that a run took over from an earlier one, by jobs that were not taken over as a whole."""
        return self._tasks(run, _TAKEN)

    def all_taken_texts(self, run: RunId) -> dict[int, str]:
        """Return the same as it is stored, to be given to `TakenOver`."""
        texts: Mapping[str, str] = self.ask("HGETALL", self.key("run", run, _TAKEN))
        return {int(job): text for job, text in texts.items()}

    def taken_tasks(self, run: RunId, jobs: Sequence[int]) -> set[int]:
        """Return those among the tasks of some jobs."""
        if not jobs:
            return set()
        texts = self.ask("HMGET", self.key("run", run, _TAKEN), *jobs)
        found = {job: text for job, text in zip(jobs, texts, strict=True) if text}
        header = self.header(run) if found else None
        return {
            task
            for job, text in found.items()
            if header is not None
            for task in unpack_tasks(text, header.tasks_of(job))
        }

    def give_back(self, run: RunId, tasks: Collection[int]) -> None:
        """Have a run do tasks itself that it had taken over."""
        header = self.header(run)
        gone = frozenset(tasks)
        for job in sorted({task // header.group_size for task in gone}):
            was = self.ask("HGET", self.key("run", run, _TAKEN), job)
            if not was:
                continue
            own = header.tasks_of(job)
            before = unpack_tasks(was, own)
            left = before - gone
            text = pack_tasks(left, own) if left else ""
            self.call("give_back", run, job, was, text, len(before) - len(left))

    def _tasks(self, run: RunId, what: str) -> dict[int, set[int]]:
        texts: Mapping[str, str] = self.ask("HGETALL", self.key("run", run, what))
        if not texts:
            return {}
        header = self.header(run)
        return {
            int(job): unpack_tasks(text, header.tasks_of(int(job))) for job, text in texts.items()
        }


def pack_tasks(tasks: Collection[int], own: range) -> str:
    """Return some of a job's own tasks as one text."""
    bits = bytearray(-(-len(own) // 8))
    for task in tasks:
        place = own.index(task)
        bits[place >> 3] |= 1 << (place & 7)
    return base64.b64encode(zlib.compress(bytes(bits))).decode()


def unpack_tasks(text: str, own: range) -> set[int]:
    """Read what `pack_tasks` wrote."""
    bits = zlib.decompress(base64.b64decode(text))
    return {task for place, task in enumerate(own) if bits[place >> 3] >> (place & 7) & 1}
