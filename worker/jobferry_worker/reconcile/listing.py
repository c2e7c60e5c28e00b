"""The scheduler's answers of one pass: one listing of all live jobs, and one answer about those missing in it.

A listing alone is no proof that a job is gone: a wrapper of the site, or a filter, may have emptied it. So the
scheduler is asked about the very ids: of its history, where it keeps one, and of its queue.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import HostUnreachable, SchedulerError
from jobferry_common.schedulers.base import Listing, Phase
from jobferry_common.states import JobState
from jobferry_worker.reconcile.snapshot import OUT, Look, is_same, try_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from jobferry_common.ledger.records import JobInFlight
    from jobferry_common.names import JobKey, RunId, SchedulerId
    from jobferry_common.schedulers.base import Scheduler, Seen
    from jobferry_common.scripts.records import ExitRecord
    from jobferry_worker.reconcile.actions import Try
    from jobferry_worker.reconcile.passes import Pass

logger: Final = logging.getLogger(__name__)

#: answers further apart than so many of the longest usual times are an interruption
_GAPS: Final = 2


def is_due(p: Pass, flight: Iterable[JobInFlight]) -> bool:
    """Return True when the scheduler is to be asked: only while jobs are out, and not too often."""
    now = p.clock()
    if not any(job.record.state in OUT for job in flight):
        p.memory.look_at = now + p.timings.look_seconds
        p.memory.interval = 0.0
        return False
    # a clock that was set back must not make it wait for ever
    is_time = not 0 < p.memory.look_at - now <= p.timings.look_max_seconds
    return is_time and p.trouble is None


def listed(p: Pass) -> Listing:
    """Return all that the scheduler has of our jobs.

    Raises:
        SchedulerError, HostUnreachable: it cannot be asked.
    """
    scheduler = p.cluster.scheduler
    argv = scheduler.listing(p.cluster.host.user())
    known = p.facts.cluster  # before the command: it may bring what the command needs
    return scheduler.parse_listing(p.command(argv), known)


def look(p: Pass) -> Look | None:
    """Ask for the listing; None, and a trouble of the pass, when there is no answer."""
    scheduler = p.cluster.scheduler
    try:
        told = listed(p)
    except (SchedulerError, HostUnreachable) as error:
        p.memory.note_silence()
        p.trouble = error
        return None
    for key, word in list(told.unreadable.items())[:5]:
        logger.error(
            "%s says %r of job %s, which nobody knows; the job is looked at again.",
            *(scheduler.name, word, key),
            extra={"action": "unknown-word"},
        )
    p.cluster.budget.praise()
    return Look(jobs=told.jobs, tokens=told.tokens, unreadable=frozenset(told.unreadable))


def without(seen: Look, flight: Iterable[JobInFlight], runs: Collection[RunId]) -> Look:
    """Return an answer that says nothing of these runs, whose files cannot be read."""
    ids = {job.record.id for job in flight if job.key.run in runs and job.record.id}
    return replace(seen, unreadable=frozenset((*seen.unreadable, *ids))) if ids else seen


def with_history(
    p: Pass, seen: Look, flight: Collection[JobInFlight], records: Mapping[Try, ExitRecord]
) -> Look:
    """Add what is said of jobs that left the listing without a final record, when they are asked about by name.

    That one of them has ended is asked once: who says it may have forgotten it by the next look.
    """
    missing = set(gone(seen, flight)[0])
    lacking = [job for job in flight if job.key in missing and not _final(job, records)]
    ids = {job.record.id for job in lacking}
    over = {key: said for key, said in p.memory.over.items() if key in ids}
    rest = [job for job in lacking if job.record.id not in over]
    rest.sort(key=lambda job: p.memory.missing.get(job.key, p.steady()))
    told, doubtful = _told_of(p, rest), []
    if told is None:
        doubtful, told = [job.record.id for job in rest], Listing(jobs={})
    ended, alive = _sorted(told, rest)
    p.memory.over = {**over, **ended}
    if not lacking:
        return seen
    return replace(
        seen,
        jobs={**_of(seen, flight), **p.memory.over},
        unreadable=frozenset((*seen.unreadable, *told.unreadable, *alive, *doubtful)),
        removed=told.removed,
        unasked=told.unasked,
    )


def _told_of(p: Pass, jobs: Collection[JobInFlight]) -> Listing | None:
    """Ask about jobs by name, with one command at most; None when there is no answer.

    History and queue are asked by turns, for each knows what the other does not: one, what ended long ago; the other,
    what still waits. A job must be unknown to both for as long as the grace lasts.
    """
    scheduler, ids = p.cluster.scheduler, [job.record.id for job in jobs]
    argv = scheduler.inquiry(ids) if ids else None
    try:
        if ids and p.facts.history and (argv is None or p.memory.history_is_next):
            p.memory.history_is_next = False
            since = datetime.fromtimestamp(min(job.record.since for job in jobs), tz=UTC)
            done = p.command(scheduler.history(ids, since))
            return scheduler.parse_history(done, p.facts.cluster)
        p.memory.history_is_next = True
        if argv is None:
            return Listing(jobs={})
        return scheduler.parse_inquiry(p.command(argv), p.facts.cluster, ids)
    except (SchedulerError, HostUnreachable) as error:
        logger.warning("No word on missing jobs: %s", error, extra={"action": "history"})
        return None


def found(
    scheduler: Scheduler, flight: Iterable[JobInFlight], seen: Look
) -> dict[JobKey, SchedulerId]:
    """Return the ids of jobs that are being submitted and whose token the scheduler has."""
    ids: dict[JobKey, SchedulerId] = {}
    for job in flight:
        bearers = seen.tokens.get(job.record.token, ())
        if job.record.state is JobState.SUBMITTING and bearers:
            ids[job.key] = _best(scheduler, bearers, job.index, seen)
    return ids


def _best(
    scheduler: Scheduler, bearers: Sequence[SchedulerId], index: int | None, seen: Look
) -> SchedulerId:
    """Return the one that lives, should one submit command have made several."""
    ids = bearers if index is None else [scheduler.element(array, index) for array in bearers]
    living = (
        key for key in ids if (known := seen.jobs.get(key)) and known.phase is not Phase.ENDED
    )
    return next(living, ids[0])


def note(p: Pass, seen: Look, flight: Iterable[JobInFlight]) -> None:
    """Remember since when jobs are missing, or have ended."""
    missing, ended = gone(seen, flight)
    gap = _GAPS * (p.timings.look_max_seconds + p.timings.command_seconds)
    p.memory.note_answer(p.steady(), missing=missing, ended=ended, longest_gap=gap)


def gone(seen: Look, flight: Iterable[JobInFlight]) -> tuple[list[JobKey], list[JobKey]]:
    """Return the jobs that are missing in an answer, and those that it calls ended."""
    missing: list[JobKey] = []
    ended: list[JobKey] = []
    for job in flight:
        key = job.record.id
        if not key or job.record.state not in OUT or key in seen.unreadable:
            continue
        said = seen.said_of(job.record)
        if said is None:
            missing.append(job.key)
        elif said.phase is Phase.ENDED:
            ended.append(job.key)
    return missing, ended


def _final(job: JobInFlight, records: Mapping[Try, ExitRecord]) -> bool:
    record = records.get(try_of(job))
    return record is not None and not record.provisional


def _sorted(
    told: Listing, jobs: Iterable[JobInFlight]
) -> tuple[dict[SchedulerId, Seen], list[SchedulerId]]:
    """Return what has ended; and what the history calls alive, although the listing does not have it."""
    over: dict[SchedulerId, Seen] = {}
    doubtful: list[SchedulerId] = []
    for job in jobs:
        key = job.record.id
        if (said := told.jobs.get(key)) and is_same(said, job.record):
            if said.phase is Phase.ENDED:
                over[key] = said
            else:
                doubtful.append(key)
    return over, doubtful


def _of(seen: Look, flight: Iterable[JobInFlight]) -> dict[SchedulerId, Seen]:
    """Return what was said of our own jobs: a listing may hold a million elements of others."""
    ids = (job.record.id for job in flight)
    return {key: said for key in ids if key and (said := seen.jobs.get(key))}
