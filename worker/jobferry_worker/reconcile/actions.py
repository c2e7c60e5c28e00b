"""What `plan()` may want, as data.

    (ChangeJobs(run=..., changes=(...,)), SubmitJobs(run=..., jobs=(...,)))

An action is idempotent or fenced: it may be carried out again after a crash that nobody noticed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from jobferry_common.states import JobState

if TYPE_CHECKING:
    from jobferry_common.ledger.records import Change, JobRecord
    from jobferry_common.names import AttemptKey, JobKey, RunId, SchedulerId
    from jobferry_common.states import RunState


class Try(NamedTuple):
    """An attempt of a run: the name of its claim and of its record."""

    run: RunId
    attempt: AttemptKey


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeClaims:
    """Claim attempts for the worker, or learn who owns them; the answer goes into the snapshot."""

    tries: tuple[Try, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeJobs:
    """Compare-and-set jobs of one run."""

    run: RunId
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelJobs:
    """Ask the scheduler to end jobs, with as few commands as possible."""

    jobs: tuple[tuple[JobKey, SchedulerId], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelPending:
    """End what was not submitted yet of a run."""

    run: RunId
    reason: str
    state: JobState = JobState.CANCELLED  #: or failed, where no cluster takes it


@dataclass(frozen=True, slots=True, kw_only=True)
class EndRun:
    """Every job of a run is final: so is the run."""

    run: RunId
    was: RunState | None  #: None: whatever it is
    state: RunState
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitJobs:
    """Submit pending jobs of one run with one command."""

    run: RunId
    jobs: tuple[tuple[int, JobRecord], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimJobs:
    """Claim jobs of a run that other clusters share."""

    run: RunId
    limit: int  #: how many at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Stop submitting, and declare nothing lost."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tidy:
    """Remove hints whose records are in the ledger."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forget:
    """Tell the scheduler that nobody will ask for these jobs again."""

    ids: tuple[SchedulerId, ...]


Action = (
    MakeClaims
    | ChangeJobs
    | CancelJobs
    | CancelPending
    | EndRun
    | SubmitJobs
    | ClaimJobs
    | Pause
    | Tidy
    | Forget
)
