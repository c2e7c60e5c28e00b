"""Ask ledger, spool and scheduler: the answers are one frozen `Snapshot`.

The order matters. Intents are read before the scheduler is asked, so that it can have what they speak of; the spool
is read before the scheduler is asked, so that a job which a provisional record calls ended, and which the scheduler
does not list any more afterwards, has really ended.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import UnknownId, UnreadableOutput
from jobferry_common.scripts.layout import Layout, parse_hint
from jobferry_common.scripts.records import WorkerClaim, parse_claim, parse_record
from jobferry_common.states import JobState
from jobferry_worker.reconcile import listing
from jobferry_worker.reconcile.actions import Try
from jobferry_worker.reconcile.passes import UnreadableRun
from jobferry_worker.reconcile.singly import all_or_singly
from jobferry_worker.reconcile.snapshot import OUT, Limits, RunView, Snapshot, try_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from jobferry_common.ledger.records import ClusterRecord, JobInFlight, JobRecord
    from jobferry_common.names import AttemptKey, JobKey, RunId
    from jobferry_common.scripts.records import ExitRecord
    from jobferry_worker.reconcile.passes import Pass
    from jobferry_worker.reconcile.snapshot import Look

    Due = tuple[tuple[RunId, tuple[tuple[int, JobRecord], ...]], ...]

logger: Final = logging.getLogger(__name__)

#: most runs that are judged, and that are offered for a submit, in one round
_JUDGED: Final = 200
_DUE_RUNS: Final = 100
#: most jobs of a round; a run may take them all
_BATCH: Final = 10_000
#: until the scheduler is asked about a job that left a provisional record
_SOON_SECONDS: Final = 2.0
#: most hints that are read in one round
_HINTS: Final = 5000


def observe(p: Pass, record: ClusterRecord) -> Snapshot:
    """Return what ledger and cluster show now; the scheduler is asked only when that is due."""
    flight = _mine(p, p.ledger.flight(p.name))
    hints, strange = _hints(p)
    judged = _judged(p)
    limits = limits_of(p, flight)
    due = _due(p, limits)
    broken: dict[RunId, str] = {}
    look, read = _asked(p, flight, hints, broken)
    records = read.records
    found = listing.found(p.cluster.scheduler, flight, look) if look else {}
    taken_back, unread = _taken_back(p, flight, look, found, records, broken)
    known = {run for run, _ in due} | set(judged) | _concerned(flight, records, look)
    runs = _views(p, known, broken)
    return Snapshot(
        now=p.clock(),
        patience=p.patience,
        limits=limits,
        flight=flight,
        runs=runs,
        broken=broken,
        judged=judged,
        due=due,
        look=look,
        missing=p.since(p.memory.missing),
        ended=p.since(p.memory.ended),
        records=records,
        cut=read.cut,
        silent=read.silent | unread,
        hints=hints,
        strange_hints=strange,
        holds=dict(p.memory.holds),
        told=dict(p.memory.told),
        paused=bool(record.paused),
        trusting=record.paused_by == "operator" and not record.paused,
        found={key: id for key, id in found.items() if key.run not in unread},
        taken_back=taken_back,
    )


def _mine(p: Pass, flight: Iterable[JobInFlight]) -> tuple[JobInFlight, ...]:
    """Return the jobs of runs that are not left alone."""
    jobs = tuple(flight)
    may = set(p.mine(dict.fromkeys(job.key.run for job in jobs)))
    return tuple(job for job in jobs if job.key.run in may)


def limits_of(p: Pass, flight: Collection[JobInFlight]) -> Limits:
    """Return how much may be submitted now."""
    profile = p.cluster.profile
    array = min(profile.max_array or _BATCH, p.facts.max_array, _BATCH)
    room = None
    if profile.max_queued_jobs is not None:
        out = sum(job.record.state in OUT for job in flight)
        room = max(profile.max_queued_jobs - out, 0)
    return Limits(
        array=array,
        room=room,
        commands=p.cluster.budget.left(),
        batch=_BATCH,
        ahead=profile.claim_ahead,
        slots=profile.max_running_jobs,
    )


def _hints(p: Pass) -> tuple[dict[Try, str], tuple[str, ...]]:
    """Return what jobs left in the spool and was not read before, and what else is there."""
    found: dict[Try, str] = {}
    strange: list[str] = []
    known = p.memory.lying
    names = [name for name in p.names(p.spool) if name not in known]
    for name in names[:_HINTS]:
        if hint := parse_hint(name):
            found[Try(*hint)] = name
        elif not name.startswith("."):
            strange.append(name)
    return found, tuple(strange)


def _judged(p: Pass) -> tuple[RunId, ...]:
    """Return the runs to be judged; when there are too many for a round, others come with the next."""
    wished = dict.fromkeys([*p.ledger.cancel_wishes(p.name), *p.ledger.to_judge(p.name)])
    runs = tuple(p.mine(wished))
    if len(runs) <= _JUDGED:
        return runs
    start = p.memory.judged % len(runs)
    p.memory.judged = start + _JUDGED
    return (runs[start:] + runs[:start])[:_JUDGED]


def _due(p: Pass, limits: Limits) -> Due:
    """Return pending jobs; a few of each run are enough to stage it, when nothing can be submitted.

    The answer stays near the batch of a round: a few of each run first, then more of those that have more.
    """
    most = limits.batch if limits.room is None else min(limits.room, limits.batch)
    few = min(max(most, 1), max(limits.batch // _DUE_RUNS, 1))
    found = dict(p.ledger.due(p.name, now=p.clock(), runs=_DUE_RUNS, per_run=few))
    large = sum(len(jobs) >= few for jobs in found.values())
    more = min(most, limits.batch // max(large, 1))
    if large and more > few:
        found |= p.ledger.due(p.name, now=p.clock(), runs=_DUE_RUNS, per_run=more)
    return tuple((run, tuple(found[run])) for run in p.mine(found))


def _is_hinted(p: Pass, job: JobInFlight, hints: Collection[Try]) -> bool:
    """Return True when the job's record may be there."""
    key = try_of(job)
    if job.record.state not in OUT:
        return False
    return key in hints or key in p.memory.provisional


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """What was found when exit records were looked for."""

    records: dict[Try, ExitRecord]
    cut: frozenset[Try]  #: a record is there, but not all of it
    silent: frozenset[RunId]  #: their directory cannot be read


def _records(p: Pass, wanted: Iterable[Try], broken: dict[RunId, str]) -> _Read:
    paths = _paths(p, wanted, broken, Layout.record)
    found: dict[Try, ExitRecord] = {}
    cut: set[Try] = set()
    contents, silent = all_or_singly(p, lambda some: p.read(list(some)), paths)
    for path, content in contents.items():
        try:
            found[paths[path]] = parse_record(content)
        except UnreadableOutput as error:
            cut.add(paths[path])
            logger.error("%s: %s", path, error, extra={"action": "record"})  # noqa: TRY400
    provisional = {key for key, record in found.items() if record.provisional}
    if provisional - p.memory.provisional:
        p.memory.hurry(p.clock() + _SOON_SECONDS)
    p.memory.provisional |= provisional
    return _Read(records=found, cut=frozenset(cut), silent=silent)


def _asked(
    p: Pass, flight: tuple[JobInFlight, ...], hints: Collection[Try], broken: dict[RunId, str]
) -> tuple[Look | None, _Read]:
    """Return the scheduler's answer, and the records."""
    look = listing.look(p) if listing.is_due(p, flight) else None
    gone = _gone(look, flight)
    wanted = [try_of(job) for job in flight if job.key in gone or _is_hinted(p, job, hints)]
    read = _records(p, wanted, broken)
    if look:
        look = listing.without(look, flight, read.silent)
        look = listing.with_history(p, look, flight, read.records)
        listing.note(p, look, flight)
    return look, read


def _gone(look: Look | None, flight: Iterable[JobInFlight]) -> set[JobKey]:
    return set().union(*listing.gone(look, flight)) if look else set()


def _taken_back(
    p: Pass,
    flight: tuple[JobInFlight, ...],
    look: Look | None,
    found: Collection[JobKey],
    records: Collection[Try],
    broken: dict[RunId, str],
) -> tuple[frozenset[Try], frozenset[RunId]]:
    """Return the attempts that a worker has claimed, and the runs of which that cannot be read.

    It died before it wrote that down, or the scheduler had the job after all: such an attempt can never run.
    """
    doubtful = {*found, *_gone(look, flight)}
    wanted = [key for job in flight if job.key in doubtful and (key := try_of(job)) not in records]
    paths = _paths(p, wanted, broken, Layout.claim)
    if not paths:
        return frozenset(), frozenset()
    contents, silent = all_or_singly(p, lambda some: p.read(list(some)), paths)
    owners = {paths[path]: parse_claim(content) for path, content in contents.items()}
    return frozenset(key for key, who in owners.items() if isinstance(who, WorkerClaim)), silent


def _paths(
    p: Pass,
    wanted: Iterable[Try],
    broken: dict[RunId, str],
    path: Callable[[Layout, AttemptKey], str],
) -> dict[str, Try]:
    """Return a path of each attempt; of none whose run cannot be read."""
    found: dict[str, Try] = {}
    for key in wanted:
        try:
            found[path(p.layout(key.run), key.attempt)] = key
        except UnreadableRun as error:
            broken[key.run] = str(error)
    return found


def _concerned(
    flight: Iterable[JobInFlight], records: Collection[Try], look: Look | None
) -> set[RunId]:
    """Return the runs of which something may be said in this round."""
    return {
        job.key.run
        for job in flight
        if look or job.record.state is JobState.EXITED or try_of(job) in records
    }


def _views(p: Pass, runs: Iterable[RunId], broken: dict[RunId, str]) -> dict[RunId, RunView]:
    found: dict[RunId, RunView] = {}
    for run in runs:
        try:
            with p.sparing(run):
                found[run] = RunView(record=p.ledger.run(run), header=p.header(run))
        except UnreadableRun as error:
            broken[run] = str(error)
        except UnknownId:
            logger.warning("Run %s is gone from the ledger.", run, extra={"action": "observe"})
    return found
