"""What a worker keeps of a cluster between passes: rhythm and patience, nothing else.

Whoever forgets it (a restart, another worker) looks at once and waits anew: that costs time, never work.

    memory = Memory()
    memory.note_answer(now, missing=[key], ended=[], longest_gap=120.0)
    memory.missing[key]      # since when the answers have not had it
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from jobferry_worker.reconcile.others import MemoryOfOthers
from jobferry_worker.reconcile.snapshot import Hold

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from jobferry_common.document import Header
    from jobferry_common.names import JobKey, RunId, SchedulerId
    from jobferry_common.schedulers.base import Seen
    from jobferry_worker.reconcile.actions import Try
    from jobferry_worker.reconcile.quiet import Quiet

_HEADERS: Final = 500
_SLOWER: Final = 1.5
_HALF: Final = 2
_ANY: Final = 1_000_000


class Memory(MemoryOfOthers):
    """Of one cluster, in one worker process."""

    #: hints that lie in the spool though nobody needs them, and since when (`Pass.steady`)
    lying: frozenset[str] = frozenset()
    swept = 0.0

    def __init__(self) -> None:
        super().__init__()
        #: of the scheduler's last answer; None before the first. Like `missing` and `ended`, by a clock that nobody
        #: sets (`Pass.steady`): a jump of the time must not use up the patience with a job
        self.answered: float | None = None
        #: when the scheduler is to be asked next, and the present time between two looks
        self.look_at = self.interval = 0.0
        self.missing: dict[JobKey, float] = {}
        self.ended: dict[JobKey, float] = {}
        self.told: dict[JobKey, float] = {}
        self.holds: dict[RunId, Hold] = {}
        #: Unix time until which nothing is submitted, because there is no command to do it with
        self.submit_again = 0.0
        #: whom to ask next about jobs that are missing: the history, or the queue by their names
        self.history_is_next = True
        #: jobs that left the listing and were then called ended, asked about by name
        self.over: Mapping[SchedulerId, Seen] = {}
        #: attempts whose record was written on a signal
        self.provisional: set[Try] = set()
        #: runs whose far side was compared with the ledger before their first submit, and under which broker
        self.checked: set[RunId] = set()
        self._broker = ""
        #: runs that were told why they wait
        self.complained: set[RunId] = set()
        #: runs whose number was compared with those of runs that the cluster knows
        self.numbered: set[RunId] = set()
        #: runs whose wished end stands on the cluster
        self.marked: set[RunId] = set()
        #: Unix time when runs last expired
        self.expired = 0.0
        #: runs that were asked about → False where a newer jobferry accepted them
        self.versions: dict[RunId, bool] = {}
        #: `time.monotonic()` when old notes were removed there
        self.tidied = -1e9
        #: where the next round begins among the runs that are to be judged
        self.judged = 0
        self.announced = False
        #: what the last full pass left behind
        self.quiet: Quiet | None = None
        self._headers: OrderedDict[RunId, Header] = OrderedDict()

    def note_answer(
        self, now: float, *, missing: Iterable[JobKey], ended: Iterable[JobKey], longest_gap: float
    ) -> None:
        """Take an answer of the scheduler; after a long silence, what was missing before counts anew."""
        if self.answered is None or now - self.answered > longest_gap:
            self.missing = {}
        self.missing = {key: self.missing.get(key, now) for key in missing}
        self.ended = {key: self.ended.get(key, now) for key in ended}
        self.answered = now

    def serve(self, broker: str) -> None:
        """Another broker's process may have forgotten steps: what was checked before counts no more."""
        if broker != self._broker:
            self._broker = broker
            self.start_anew()

    def start_anew(self) -> None:
        """The broker may be empty: runs of a known name may be others."""
        for runs in (self.checked, self.numbered, self.marked, self.commons, self.joined):
            runs.clear()
        self._headers.clear()
        self.versions.clear()
        self.told_all = ""
        self.quiet = None
        # a job may be out again whose hint was read
        self.lying = frozenset()

    def note_silence(self) -> None:
        """The scheduler could not be asked: the answers were interrupted."""
        self.missing = {}

    def pace(self, now: float, *, changed: bool, least: float, most: float) -> None:
        """Fix the time of the next look after one was made: later and later while nothing changes."""
        slower = max(self.interval, least) * _SLOWER
        self.interval = least if changed or not self.interval else min(slower, most)
        self.look_at = now + self.interval

    def hurry(self, when: float) -> None:
        """Have the scheduler asked by then."""
        self.look_at = min(self.look_at, when)

    def hold(self, run: RunId, now: float, *, least: float, most: float, size: int) -> Hold:
        """Let a run rest whose submit of `size` jobs was turned away; next time it is half as many."""
        failures = (self.holds[run].failures if run in self.holds else 0) + 1
        pause = min(least * 2 ** min(failures - 1, 10), most)
        self.holds[run] = Hold(until=now + pause, failures=failures, batch=max(size // _HALF, 1))
        return self.holds[run]

    def release(self, run: RunId, size: int, until: float) -> None:
        """After a submit that went well, a run that was turned away before may try a little more.

        `until` is when its next submit may come: a user may want some time between two.
        """
        if old := self.holds.get(run):
            batch = size * _HALF if old.failures else max(old.batch, size * _HALF)
            self.holds[run] = Hold(until=until, failures=0, batch=batch)
        elif until:
            self.holds[run] = Hold(until=until, failures=0, batch=_ANY)

    def room_appeared(self) -> None:
        """A job ended: who was turned away for a limit may try at once."""
        self.holds = {
            run: replace(hold, until=0.0) if hold.failures else hold
            for run, hold in self.holds.items()
        }

    def forget_all_but(self, open_runs: Collection[RunId]) -> None:
        """Forget all about other runs."""
        self.holds = {run: hold for run, hold in self.holds.items() if run in open_runs}
        self.told = {key: at for key, at in self.told.items() if key.run in open_runs}
        self.provisional = {key for key in self.provisional if key.run in open_runs}
        self.versions = {r: known for r, known in self.versions.items() if r in open_runs}
        self.unstageable = {r: rest for r, rest in self.unstageable.items() if r in open_runs}
        for runs in (self.checked, self.complained, self.commons, self.numbered, self.marked):
            runs.intersection_update(open_runs)

    @property
    def size(self) -> int:
        """How much may be forgotten once its runs have ended."""
        of_runs = (self.holds, self.checked, self.numbered, self.marked, self.versions)
        return sum(map(len, of_runs)) + len(self.told) + len(self.provisional)

    def header(self, run: RunId) -> Header | None:
        """Return a header that was read lately."""
        if found := self._headers.get(run):
            self._headers.move_to_end(run)
        return found

    def learn(self, run: RunId, header: Header) -> Header:
        """Keep a header: it never changes."""
        self._headers[run] = header
        if len(self._headers) > _HEADERS:
            self._headers.popitem(last=False)
        return header
