"""The rules for jobs that a scheduler has or may have. Pure.

state        what is seen                                     what follows
any of them  a final exit record                              exited, by the record
submitting   the token is known to the scheduler              adopted with its id, unless it was claimed by us
submitting   not so, and the command has surely ended         claimed by us: pending again (attempt + 1)
                                                              claimed by a job: running, with that job's id
queued, …    the scheduler lists it                           its state follows
queued, …    the scheduler says that it ended                 no claim: exited at once; claimed: the record may be
                                                              late, then exited by the scheduler's word
queued, …    ended or not listed, and claimed by us           exited: it ran nothing
queued, …    not listed (or its id is another job's), and     after the grace claimed by us, then lost
             no record; asked by name, it is unknown
queued, …    the same, but its array is there without it      no claim: it was cancelled while it waited
exited                                                        finished, pending again, failed or cancelled
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from jobferry_common.schedulers.base import Phase
from jobferry_common.scripts.records import WorkerClaim
from jobferry_common.states import JobState, Outcome
from jobferry_worker.reconcile import exits
from jobferry_worker.reconcile.moves import moved, retried
from jobferry_worker.reconcile.snapshot import try_of

if TYPE_CHECKING:
    from typing_extensions import TypeIs

    from jobferry_common.ledger.records import Change, JobInFlight
    from jobferry_common.names import SchedulerId
    from jobferry_common.schedulers.base import Seen
    from jobferry_worker.reconcile.snapshot import Look, Snapshot

#: after these a scheduler may start a job again by itself, and needs a moment to say so
_MAY_RETURN: Final = frozenset({Outcome.PREEMPTED, Outcome.NODE_FAILURE, Outcome.SUCCEEDED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What is next for one job; nothing at all if it holds only the job."""

    job: JobInFlight
    changes: tuple[Change, ...] = ()
    claim: bool = False  #: the worker must try to claim the attempt first
    cancel: SchedulerId | None = None  #: the scheduler is to end this
    over: bool = False  #: the attempt ends now


def steps(s: Snapshot, *, frozen: bool) -> list[Step]:
    """Return what is next for each job in flight; while `frozen`, nothing ends without a record."""
    return [_step(s, job, frozen=frozen) for job in s.flight]


def _step(s: Snapshot, job: JobInFlight, *, frozen: bool) -> Step:
    if job.key.run in s.broken:
        return _orphaned(s, job)
    if job.record.state is JobState.EXITED:
        return Step(job=job, changes=exits.settled(s, job.key, job.record))
    record = s.records.get(try_of(job))
    if record and not record.provisional:
        return _exit(s, job, exits.by_record(s, job, record))
    if job.record.state is JobState.SUBMITTING:
        return _submitting(s, job)
    if s.look is None or job.record.id in s.look.unreadable or job.key.run in s.silent:
        return _cancel(s, job)
    return _listed(s, s.look, job, frozen=frozen)


def _listed(s: Snapshot, look: Look, job: JobInFlight, *, frozen: bool) -> Step:
    said = look.said_of(job.record)
    if try_of(job) in s.taken_back and _ran_nothing(look, job, said):
        return _exit(s, job, exits.taken_back())
    if said is None:
        return Step(job=job) if frozen else _vanished(s, look, job)
    if said.phase is Phase.ENDED:
        doubtful = frozen and said.outcome is Outcome.SUCCEEDED
        return Step(job=job) if doubtful else _ended(s, job, said)
    return replace(_cancel(s, job), changes=_followed(s, job, said))


def _ran_nothing(look: Look, job: JobInFlight, said: Seen | None) -> bool:
    """Tell whether a job whose attempt was not its own is over; of another end the scheduler knows more."""
    if said is None:
        return job.record.id not in look.removed
    return said.outcome is Outcome.SUCCEEDED


def _submitting(s: Snapshot, job: JobInFlight) -> Step:
    if (id_ := s.found.get(job.key)) and try_of(job) not in s.taken_back:
        return Step(job=job, changes=(moved(job, JobState.QUEUED, now=s.now, id=id_),))
    settling = s.now - job.record.since <= s.patience.settle
    if s.look is None or settling or job.key.run in s.silent:
        return Step(job=job)
    match s.claims.get(try_of(job)):
        case None:
            return Step(job=job, claim=True)
        case WorkerClaim():
            return Step(job=job, changes=_unsubmitted(s, job))
        case "":
            return _nameless(s, job)
        case id_:
            return _pointed_at(s, job, id_)


def _unsubmitted(s: Snapshot, job: JobInFlight) -> tuple[Change, ...]:
    """The attempt can never run: another one may, which is no try more."""
    if s.unwanted(job.key.run):
        return (
            moved(job, JobState.CANCELLED, now=s.now, reason="cancelled before it was submitted"),
        )
    reason = "no answer to its submit command; submitted again"
    return (retried(job, now=s.now, due=s.now, reason=reason, stays=not s.paused),)


def _nameless(s: Snapshot, job: JobInFlight) -> Step:
    """It died while it wrote its claim, or it is just writing it."""
    if s.now - job.record.since <= s.patience.settle + s.patience.grace:
        return Step(job=job)
    return _exit(
        s,
        job,
        exits.End(outcome=Outcome.LOST, reason="it claimed its attempt and left nothing else"),
    )


def _orphaned(s: Snapshot, job: JobInFlight) -> Step:
    """Nobody can read what this job is: it is cancelled, and fails once the scheduler has let go of it."""
    if job.record.state is JobState.EXITED:
        return Step(job=job, changes=exits.settled(s, job.key, job.record))
    known = job.record.id or s.found.get(job.key)
    said = s.look.said_of(replace(job.record, id=known)) if s.look and known else None
    since = s.now - job.record.since
    if said and said.phase is not Phase.ENDED:
        return Step(job=job, cancel=said.id)
    if s.look is None or since <= s.patience.settle + s.patience.grace:
        return Step(job=job, cancel=known)
    return _exit(s, job, exits.End(outcome=Outcome.LOST, reason=s.broken[job.key.run]))


def _followed(s: Snapshot, job: JobInFlight, said: Seen) -> tuple[Change, ...]:
    """Note another state, and what keeps a job in the queue besides its turn."""
    state = JobState.RUNNING if said.phase is Phase.RUNNING else JobState.QUEUED
    reason = said.reason if state is JobState.QUEUED else ""
    if state is job.record.state and reason == job.record.reason:
        return ()
    return (moved(job, state, now=s.now, reason=reason),)


def _cancel(s: Snapshot, job: JobInFlight) -> Step:
    return Step(job=job, cancel=job.record.id if s.unwanted(job.key.run) else None)


def _ended(s: Snapshot, job: JobInFlight, said: Seen) -> Step:
    """The scheduler's final word; the record may be late, and the claim tells whether there can be one."""
    key, end = try_of(job), exits.by_scheduler(s, job, said)
    waited = s.now - s.ended.get(job.key, s.now)
    if key in s.records:
        # what was written on a signal is not the last word of a job that then ended well
        patient = said.outcome is Outcome.SUCCEEDED and waited < s.patience.grace
        return Step(job=job) if patient else _exit(s, job, end)
    if key not in s.claims:
        return Step(job=job, claim=said.outcome not in _MAY_RETURN or waited >= s.patience.late)
    owner = s.claims[key]
    if _is_other(owner, s, job):
        return _pointed_at(s, job, owner)
    return _exit(s, job, end) if waited >= _patience(s, said, owner) else Step(job=job)


def _patience(s: Snapshot, said: Seen, owner: object) -> float:
    """Return how late a record may be: a success promises one, and who never claimed leaves none."""
    if isinstance(owner, WorkerClaim):
        return 0.0
    return s.patience.grace if said.outcome is Outcome.SUCCEEDED else s.patience.late


def _vanished(s: Snapshot, look: Look, job: JobInFlight) -> Step:
    key = try_of(job)
    if job.record.id in look.removed and key not in s.records:
        if key not in s.claims:
            return Step(job=job, claim=True)
        if isinstance(s.claims[key], WorkerClaim):
            return _exit(s, job, exits.removed())
    short = job.key in s.told or (key in s.records and not _is_unseen(s, job))
    patience = s.patience.late if short else s.patience.grace
    waited = s.now - s.missing.get(job.key, s.now)
    if waited < patience or job.record.id in look.unasked:
        return Step(job=job) if job.record.id in look.jobs else _cancel(s, job)
    return _gone(s, look, job)


def _is_unseen(s: Snapshot, job: JobInFlight) -> bool:
    """Tell whether a scheduler that lists late may never have shown a job: it may have started it again by now."""
    return job.record.state is JobState.QUEUED and s.now - job.record.since <= s.patience.settle


def _gone(s: Snapshot, look: Look, job: JobInFlight) -> Step:
    """It was missing for long enough, and is unknown by its name, too."""
    key, bearer = try_of(job), look.jobs.get(job.record.id)
    if key in s.records:
        return _exit(s, job, exits.by_record(s, job, s.records[key]))
    if key not in s.claims:
        return Step(job=job, claim=True)
    owner = s.claims[key]
    if bearer and bearer.phase is not Phase.ENDED and owner == bearer.id:
        return Step(job=job)  # it may have come of another submit of ours: nothing is to run twice
    if _is_other(owner, s, job):
        return _pointed_at(s, job, owner)
    return _exit(s, job, exits.lost(s, job))


def _is_other(
    owner: SchedulerId | WorkerClaim, s: Snapshot, job: JobInFlight
) -> TypeIs[SchedulerId]:
    """Return True if another job owns the attempt and may live: one submit command may have made two."""
    if isinstance(owner, WorkerClaim) or owner in ("", job.record.id):
        return False
    said = s.look.jobs.get(owner) if s.look else None
    return said is None or said.phase is not Phase.ENDED


def _pointed_at(s: Snapshot, job: JobInFlight, owner: SchedulerId) -> Step:
    return Step(job=job, changes=(moved(job, JobState.RUNNING, now=s.now, id=owner),))


def _exit(s: Snapshot, job: JobInFlight, end: exits.End) -> Step:
    """End the attempt, and settle what becomes of the job in the same breath."""
    first = exits.exited(s, job, end)
    then = exits.settled(s, job.key, first.record)
    return Step(job=job, changes=(first, *then), over=True)
