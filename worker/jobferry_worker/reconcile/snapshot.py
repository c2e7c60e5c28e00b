"""What one round of a pass saw: the only thing that `plan()` knows.

    Snapshot(now=1000.0, patience=Patience(), limits=Limits(...), flight=(...), runs={...})

The observation of a job is three-valued: `look.jobs` has it; `look` is there and does not have it; or the scheduler
could not be asked (`look` is None, or the job is in `look.unreadable`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from jobferry_common.names import AttemptKey, ClusterName
from jobferry_common.schedulers.base import Phase
from jobferry_common.states import JobState
from jobferry_worker.reconcile.actions import Try

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from jobferry_common.document import Header
    from jobferry_common.ledger.records import JobInFlight, JobRecord, Pool, RunRecord
    from jobferry_common.names import JobKey, RunId, SchedulerId, Token
    from jobferry_common.schedulers.base import Seen
    from jobferry_common.scripts.records import ExitRecord, WorkerClaim

#: every token of ours begins so
MARK: Final = "jf."
_NOBODY: Final = ClusterName("")
#: the scheduler has these jobs, or may have them
OUT: Final = frozenset({JobState.SUBMITTING, JobState.QUEUED, JobState.RUNNING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait for what; in seconds."""

    settle: float = 65.0  #: after an intent, until the submit command has surely ended
    grace: float = 180.0  #: of uninterrupted answers, before a job that is gone is lost
    late: float = 10.0  #: for a record, after the scheduler said that the job ended
    again: float = 30.0  #: before a cancel is told again
    retry: float = 5.0  #: before the second try of a job; doubles with each further one
    retry_max: float = 300.0
    placement: float = (
        10.0  #: for a better liked cluster to take work that it has nothing waiting of
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much may be submitted."""

    array: int = 1000  #: most elements of one array; 1: no arrays
    room: int | None = (
        None  #: how many more jobs the scheduler may be given; None: no limit of ours
    )
    commands: int = 1000  #: submit commands that the budget allows now
    batch: int = 10_000  #: most jobs of one round
    ahead: int | None = (
        None  #: jobs of shared runs that may wait at the scheduler; None: as many as run there
    )
    slots: int | None = None  #: jobs that can run here at once, where that is known


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A run whose last submit was turned away."""

    until: float  #: Unix time before which nothing of it is submitted
    failures: int  #: in a row
    batch: int  #: most jobs of the next array


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One answer of the scheduler, together with what it said of those missing in it, asked by name."""

    jobs: Mapping[SchedulerId, Seen]
    tokens: Mapping[Token, Sequence[SchedulerId]] = field(default_factory=dict)
    unreadable: Collection[SchedulerId] = frozenset()  #: could not be asked about these
    #: elements that their array has no more, although the scheduler has the array
    removed: Collection[SchedulerId] = frozenset()
    #: not listed, and not yet asked about by name
    unasked: Collection[SchedulerId] = frozenset()

    def said_of(self, record: JobRecord) -> Seen | None:
        """Return what is said of a job, by id; a job that only bears its id now is another one."""
        said = self.jobs.get(record.id) if record.id else None
        return said if said and is_same(said, record) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """A run as the plan sees it."""

    record: RunRecord
    header: Header

    def count(self, *states: JobState) -> int:
        """Return the number of jobs in these states."""
        return sum(self.record.counts.get(state, 0) for state in states)

    @property
    def tolerated(self) -> float:
        """How many jobs may be left undone."""
        return self.header.policy.ratio_unfinished * self.record.jobs

    @property
    def is_failing(self) -> bool:
        """True once more jobs failed than its policy bears."""
        if self.header.policy.continue_on_failure:
            return False
        return self.count(JobState.FAILED) > self.tolerated

    @property
    def is_enough(self) -> bool:
        """True once as many jobs finished as its policy wants."""
        return self.record.jobs - self.count(JobState.FINISHED) <= self.tolerated

    @property
    def is_unwanted(self) -> bool:
        """True when nothing of it shall run any more."""
        return self.record.cancel or self.is_enough


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All that is known in one round."""

    now: float
    patience: Patience = field(default_factory=Patience)
    limits: Limits = field(default_factory=Limits)
    flight: tuple[JobInFlight, ...] = ()
    runs: Mapping[RunId, RunView] = field(default_factory=dict)
    #: runs whose document cannot be read: what to say of them
    broken: Mapping[RunId, str] = field(default_factory=dict)
    #: runs to be judged: a job of theirs failed, nothing is left to do, or somebody wished their end
    judged: tuple[RunId, ...] = ()
    due: tuple[tuple[RunId, tuple[tuple[int, JobRecord], ...]], ...] = ()
    look: Look | None = None
    #: since when each job is missing in answers that were not interrupted
    missing: Mapping[JobKey, float] = field(default_factory=dict)
    #: since when the scheduler says of a job that it ended
    ended: Mapping[JobKey, float] = field(default_factory=dict)
    records: Mapping[Try, ExitRecord] = field(default_factory=dict)
    #: attempts that began to write their record and could not end it: a full disk, or killed just then
    cut: Collection[Try] = frozenset()
    #: runs whose files could not be read or written: without a record nothing of them ends
    silent: Collection[RunId] = frozenset()
    #: who owns an attempt, after the worker tried to claim it
    claims: Mapping[Try, SchedulerId | WorkerClaim] = field(default_factory=dict)
    #: attempts that a worker had claimed before this round: whatever the scheduler has of them runs nothing
    taken_back: Collection[Try] = frozenset()
    hints: Mapping[Try, str] = field(default_factory=dict)
    strange_hints: tuple[str, ...] = ()  #: names in the spool that are no hints
    holds: Mapping[RunId, Hold] = field(default_factory=dict)
    #: when the scheduler was last told to end a job
    told: Mapping[JobKey, float] = field(default_factory=dict)
    paused: bool = False  #: submits nothing
    trusting: bool = False  #: an operator resumed the cluster: what is gone is gone
    #: jobs that are being submitted and whose token the scheduler has: their ids
    found: Mapping[JobKey, SchedulerId] = field(default_factory=dict)
    me: ClusterName = _NOBODY  #: whose pass this is
    tags: frozenset[str] = frozenset()  #: of its profile
    #: how each run is spread that clusters share and that has something to go
    pools: Mapping[RunId, Pool] = field(default_factory=dict)
    live: frozenset[ClusterName] = frozenset()  #: clusters that work: heard of lately, not paused
    #: since when work of a shared run is left to a better liked cluster
    offered: Mapping[RunId, float] = field(default_factory=dict)
    #: runs whose files could not be brought here: until when nothing more of them is claimed
    unstageable: Mapping[RunId, float] = field(default_factory=dict)

    def unwanted(self, run: RunId) -> bool:
        """True when nothing of the run shall run any more."""
        view = self.runs.get(run)
        return view is not None and view.is_unwanted


def is_same(said: Seen, record: JobRecord) -> bool:
    """Return False when another job has the id now: schedulers use them again.

    Somebody may have changed the mark of ours, so a strange one that is not of jobferry's form only counts once that
    job ended: then ours is over in either case, and nothing runs twice.
    """
    if not said.token or not record.token or said.token == record.token:
        return True
    return said.phase is not Phase.ENDED and not said.token.startswith(MARK)


def try_of(job: JobInFlight) -> Try:
    """Return the attempt that is in flight."""
    return Try(job.key.run, AttemptKey(job.key.job, job.record.attempt))
