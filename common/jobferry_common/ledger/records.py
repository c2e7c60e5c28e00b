"""What the ledger holds of runs and jobs, as data.

A job's record is one string, `state|attempt|tries|cluster|id|token|outcome|code|since|reason`, at most a few
hundred bytes; the Lua scripts read its first fields. What a job asks for beyond its run stands beside its tries, where
it asks for anything: `2;out_of_memory=1;!hpc1/n3`.

Where several clusters share a run, `cluster` is `hpc1#7`: the seventh claim of that run. A change of a job names the
place that it saw, so a cluster that was given up cannot change what another one has by now.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from jobferry_common.ledger.asks import NOTHING_MORE, Asks
from jobferry_common.names import ClusterName, JobKey, RunId, SchedulerId, SubmissionId, Token
from jobferry_common.states import JobState, Outcome, ResultsState, RunState

if TYPE_CHECKING:
    from collections.abc import Mapping

_FIELDS: Final = 10
_NO_CLUSTER: Final = ClusterName("")
_NO_ID: Final = SchedulerId("")
_NO_TOKEN: Final = Token("")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """The truth about one job of a run."""

    state: JobState = JobState.PENDING
    attempt: int = 1  #: the try that is due, in flight or was the last
    tries: int = 0  #: how many tries were used up; a run's `retry_count` allows that many more
    cluster: ClusterName = (
        _NO_CLUSTER  #: where the attempt is; empty while pending, and in the pool
    )
    claim: int = 0  #: by which the cluster has it, where several share the run
    id: SchedulerId = _NO_ID  #: empty until the scheduler answered
    token: Token = _NO_TOKEN  #: empty while pending
    outcome: Outcome | None = None  #: of the last attempt
    code: int | None = None  #: exit code of the first failed task of the last attempt
    since: float = 0.0  #: Unix time in seconds when this state began
    reason: str = ""  #: for people: the scheduler's words, a missing file, why it waits
    asks: Asks = NOTHING_MORE  #: for its next attempt, or of the one in flight

    def pack(self) -> str:
        """Return the record as the ledger stores it."""
        code = "" if self.code is None else str(self.code)
        head = (
            self.state.value,
            str(self.attempt),
            f"{self.tries};{self.asks.pack()}" if self.asks else str(self.tries),
            self.place,
            self.id,
            self.token,
        )
        reason = self.reason[:300].replace("\n", " ")
        return "|".join((*head, self.outcome or "", code, f"{self.since:.2f}", reason))

    @classmethod
    def unpack(cls, text: str) -> JobRecord:
        """Read what `pack` wrote."""
        state, attempt, tries, place, id_, token, outcome, code, since, reason = text.split(
            "|", _FIELDS - 1
        )
        cluster, _, claim = place.partition("#")
        tries, _, asks = tries.partition(";")
        return cls(
            state=JobState(state),
            attempt=int(attempt),
            tries=int(tries),
            cluster=ClusterName(cluster),
            claim=int(claim or 0),
            id=SchedulerId(id_),
            token=Token(token),
            outcome=Outcome(outcome) if outcome else None,
            code=int(code) if code else None,
            since=float(since),
            reason=reason,
            asks=Asks.unpack(asks) if asks else NOTHING_MORE,
        )

    @property
    def place(self) -> str:
        """The cluster that has it, and by which claim: `hpc1#7`; only the name where one has it all."""
        return f"{self.cluster}#{self.claim}" if self.claim else self.cluster

    def to(self, state: JobState, *, now: float) -> JobRecord:
        """Return this record in another state, from `now` on."""
        return replace(self, state=state, since=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One compare-and-set of a job: `was` and `place` must still stand, then `record` replaces it."""

    job: int
    was: tuple[JobState, int]  #: state and attempt
    record: JobRecord
    #: Unix time from which a job that becomes pending again may be submitted
    due: float = 0.0
    place: str | None = None  #: who had it, as `JobRecord.place` says; None: whoever


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """How the work of a run that several clusters share is spread, as one of them sees it."""

    open: int = 0  #: jobs that nobody has claimed and that may go now
    claimed: int = 0  #: claimed here, their files not there yet
    staged: int = 0  #: claimed here, may be submitted
    #: jobs of each cluster by state; what is pending there is claimed
    at: Mapping[ClusterName, Mapping[JobState, int]] = field(default_factory=dict)

    def count(self, cluster: ClusterName, *states: JobState) -> int:
        """Return how many jobs a cluster has in these states."""
        found = self.at.get(cluster, {})
        return sum(found.get(state, 0) for state in states)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobInFlight:
    """A job that a scheduler has or may have."""

    key: JobKey
    record: JobRecord
    #: its place in the frozen list of its token; None for a single job
    index: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """The truth about one run."""

    id: RunId
    submission: SubmissionId
    number: int
    owner: str
    state: RunState
    results: ResultsState
    cluster: ClusterName
    name: str  #: the user's word for it; may be empty
    staged: bool  #: True once every file it needs is on the cluster
    cancel: bool  #: True once somebody wished its end
    tasks: int
    jobs: int
    #: jobs in each state; the values add up to `jobs`
    counts: Mapping[JobState, int]
    accepted: float  #: Unix time in seconds
    finished: float | None
    reason: str  #: of a failure, for people
    taken_over: int  #: tasks whose results an earlier run left
    resumes: RunId | None = None  #: that earlier run
    targets: tuple[
        ClusterName, ...
    ] = ()  #: the clusters that share it; () where all goes to `cluster`
    priority: int = 0
    held: bool = False  #: True while nothing more of it is to be submitted
    refused: str = ""  #: what its clusters say, once every one of several will never take its jobs

    @property
    def clusters(self) -> tuple[ClusterName, ...]:
        """Every cluster that its jobs may go to."""
        return self.targets or (self.cluster,)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRecord:
    """What everybody may know of a cluster: announced by its worker, without secrets."""

    name: ClusterName
    account: str
    batch_type: str
    context_type: str
    paused: str = ""  #: reason; empty while it works
    paused_by: str = ""  #: "operator", or "jobferry" when it resumes by itself
    failures: int = 0  #: passes that failed in a row
    probe_at: float = 0.0  #: Unix time of the next try while paused
    last_pass: float = 0.0  #: Unix time of the last finished pass
    last_look: float = 0.0  #: Unix time of the last answer of the scheduler
    in_flight: int = 0
    waiting: int = 0
    worker: str = ""  #: host name and pid of who serves it
    draining: bool = False  #: it is paused in order to be left without any work
    since: float = 0.0  #: Unix time when it was paused, drained or resumed
    tags: tuple[str, ...] = ()  #: of its profile: what a submission may require
    to_bring: int = 0  #: runs whose results are still there
    adopted: int = 0  #: attempts found there after nobody had heard of their submit; as the rest, at least so many
    recalled: int = 0  #: attempts submitted again, after nothing of their submit was found there
    refused: int = 0  #: jobs that found their attempt claimed by another, and ran nothing
    restored: int = 0  #: steps that the broker had forgotten

    @property
    def halt(self) -> str:
        """Return `paused: why`, `draining: why` or `drained: why`; nothing while it works."""
        if not self.paused:
            return ""
        if not self.draining:
            return f"paused: {self.paused}"
        emptied = not self.in_flight and not self.to_bring
        return f"{'drained' if emptied else 'draining'}: {self.paused}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The answer to a submission."""

    run: RunId
    attached: bool  #: True when the same submission was in flight already: this is its run
    taken_over: int = 0  #: tasks that an earlier run finished and that are not done again
    #: the document as it was written into the ledger: its header, then its pages
    pieces: tuple[bytes, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Who holds an account now."""

    holder: str
    fence: Fence
    left_seconds: float  #: until it ends by itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """Proof that an account's lease was held: the broker's run id, and a counter that only grows."""

    broker: str
    number: int
    account: str = ""

    def __str__(self) -> str:
        """Return `broker:number`."""
        return f"{self.broker}:{self.number}"
