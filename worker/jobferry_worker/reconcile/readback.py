"""After the broker forgot: make the ledger agree with what stands on the cluster, before anything is submitted.

A broker that was restarted may lack its last second of writes. A job that it calls pending may be queued, running or
ended. What proves otherwise: its token in the scheduler's listing, its claim, its exit record.

    ledger says           the cluster shows                         then
    pending, attempt n    the token of n is listed, or n's claim    n is adopted: queued or running, with its id
                          is a job's; a record may be there too
    pending, attempt n    the worker's own claim of n               pending, attempt n + 1
"""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import StagingError, UnknownId
from jobferry_common.ledger.records import Change
from jobferry_common.names import AttemptKey, RunId, SchedulerId, Token
from jobferry_common.schedulers.base import Listing
from jobferry_common.scripts.records import WorkerClaim, parse_claim
from jobferry_common.states import JobState, RunState
from jobferry_worker.reconcile import listing
from jobferry_worker.reconcile.killpoints import kill_here
from jobferry_worker.reconcile.moves import pending_again
from jobferry_worker.reconcile.passes import UnreadableRun
from jobferry_worker.reconcile.singly import say
from jobferry_worker.reconcile.snapshot import MARK

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from jobferry_common.ledger.records import JobRecord
    from jobferry_common.scripts.layout import Layout
    from jobferry_worker.reconcile.passes import Pass

    Owners = dict[AttemptKey, SchedulerId | WorkerClaim]

logger: Final = logging.getLogger(__name__)

_ATTEMPT: Final = re.compile(r"(\d+)\.(\d+)", re.ASCII)
#: what the ledger says of a run that nobody could compare yet
_UNREAD: Final = "unread"


def read_back(p: Pass, forgotten: Callable[[Pass, Listing], Collection[RunId]]) -> None:
    """Restore the ledger's agreement with the cluster if the broker is not the one that it was.

    Args:
        p: the pass.
        forgotten: puts back whole runs that the broker forgot; returns those that are not what the cluster
            knows by their names.

    Raises:
        SchedulerError, HostUnreachable: the cluster cannot be asked; nothing may be submitted.
    """
    broker = p.lease.fence.broker
    p.memory.serve(broker)
    last = p.ledger.remembered(p.cluster.lease)
    if last == broker:
        return
    p.memory.start_anew()
    p.ledger.forget_pages()
    runs = p.mine(p.ledger.open_runs(p.name))
    if runs or last is not None:
        told = listing.listed(p)
        others = forgotten(p, told)
        _read_back(p, [run for run in runs if run not in others], told)
    p.step()
    p.ledger.remember(p.cluster.lease, broker=broker)
    kill_here("after-readback")


def agrees(p: Pass, run: RunId) -> bool:
    """Return True when nothing on the cluster speaks against submitting or cancelling pending jobs of the run.

    A run that was never submitted, as far as the ledger knows, leaves nothing behind; what is there tells of a
    life that the broker forgot. Such a run is compared again before each of its submits, by every worker: that it is
    doubted stands in the ledger.

    Raises:
        StagingError: its directory cannot be read; this run has to wait.
    """
    doubt = p.ledger.doubt_of(p.name, run)
    if doubt is None:
        if run in p.memory.checked:
            return True
        fresh = p.ledger.run(run).state is RunState.ACCEPTED
        if not fresh or not p.names(_claims(p.layout(run))):
            p.memory.checked.add(run)
            return True
        logger.warning("Run %s left claims that the ledger does not know.", run)
        p.ledger.doubt(p.name, run, read=True)
    told = Listing(jobs={})
    if doubt == _UNREAD:
        _claimed(p, p.layout(run))  # while that is not possible, the scheduler need not be asked
        told = listing.listed(p)
    return not compare(p, run, told)


def may_end_pending(p: Pass, run: RunId) -> bool:
    """Return True when the pending jobs of a run are really pending; otherwise it waits, and says why."""
    if silent := p.ledger.unread(
        run
    ):  # another cluster of the run may have what the ledger calls pending
        say(p, run, silent.advice(run))
        return False
    if p.ledger.doubt_of(p.name, run) is None:
        return True
    try:
        return agrees(p, run)
    except StagingError as error:
        say(p, run, f"waits: {error}")
        return False


def answer_for_shared(p: Pass) -> None:
    """Say what this cluster has of the runs that it shares with others, and that the broker may have forgotten.

    It was restarted, or a run was presented to it again.

    Nobody claims more of such a run before. It is asked once every submit command that the broker may have forgotten
    has surely ended: at another cluster no claim on our file system would stand in the way of its job.

    Raises:
        SchedulerError, HostUnreachable: the cluster cannot be asked.
    """
    broker, now, memory = p.lease.fence.broker, p.clock(), p.memory
    runs = p.ledger.unanswered(p.name, broker=broker)
    if not runs:
        return
    since = memory.asked_since.setdefault(broker, now)
    if now - since <= p.patience.settle or now < memory.answer_at:
        return
    memory.answer_at = now + p.timings.look_seconds
    told = listing.listed(p)
    for run in runs:
        try:
            with p.sparing(run):
                compare(p, run, told)
        except (UnreadableRun, UnknownId) as error:
            logger.warning("%s", error, extra={"action": "readback"})
        except StagingError as error:
            say(p, run, f"waits: {error}")
            continue
        if run not in p.left_alone:
            p.ledger.answer(run, p.name, broker=broker)
    kill_here("after-readback")


def _read_back(p: Pass, runs: Iterable[RunId], told: Listing) -> None:
    listed = {run_of(token) for token in told.tokens}
    for run in runs:
        try:
            state = p.ledger.run(run).state
            if state.is_final or (run not in listed and state is RunState.ACCEPTED):
                continue
            p.ledger.doubt(p.name, run, read=False)
            with p.sparing(run):
                compare(p, run, told)
        except (UnreadableRun, UnknownId) as error:
            logger.warning("%s", error, extra={"action": "readback"})
        except StagingError as error:
            say(p, run, f"waits: {error}")


def compare(p: Pass, run: RunId, told: Listing) -> int:
    """Restore a run from what the scheduler told of it and its files, and note that this was done."""
    restored = _restore(p, p.layout(run), told)
    p.ledger.doubt(p.name, run, read=True)
    return restored


def _restore(p: Pass, layout: Layout, told: Listing) -> int:
    """Bring pending jobs to where the cluster has them; return how many there were."""
    owners = _listed(p, layout, told) | _claimed(p, layout)
    # nobody knows any more by which claim they came here
    claim = p.ledger.new_claim(layout.run) if owners and p.header(layout.run).is_shared else 0
    restored = 0
    last = {key.job: key.attempt for key in sorted(owners)}
    for page in _pages(p, layout.run, set(last)):
        changes = [
            change
            for job, record in page
            if last[job] >= record.attempt
            for change in _climbed(p, job, record, owners, last[job], claim)
        ]
        restored += p.change(layout.run, changes)
    if restored:
        p.ledger.change_run(
            layout.run, state=RunState.ACTIVE, was=RunState.ACCEPTED, fence=p.lease.fence
        )
        p.memory.hurry(p.clock())
        p.ledger.count(p.name, restored=restored)
        logger.warning(
            "The broker had forgotten %d steps of run %s; they were read back.",
            *(restored, layout.run),
            extra={"action": "readback"},
        )
    return restored


def _listed(p: Pass, layout: Layout, told: Listing) -> Owners:
    """Return the attempts whose tokens the scheduler lists."""
    tokens = {token: ids for token, ids in told.tokens.items() if run_of(token) == layout.run}
    lists = p.read([layout.list(token) for token in tokens])
    owners: Owners = {}
    for token, ids in tokens.items():
        attempts = _attempts(lists.get(layout.list(token), b"").decode().split())
        for index, attempt in enumerate(attempts):
            single = len(attempts) == 1
            owners[attempt] = ids[-1] if single else p.cluster.scheduler.element(ids[-1], index)
    return owners


def _claimed(p: Pass, layout: Layout) -> Owners:
    attempts = _attempts(p.names(_claims(layout)))
    paths = {layout.claim(attempt): attempt for attempt in attempts}
    found = p.read(list(paths))
    return {paths[path]: parse_claim(content) for path, content in found.items()}


def _claims(layout: Layout) -> str:
    """Return the directory of a run's claims."""
    return layout.claim(AttemptKey(0, 1)).rpartition("/")[0]


def _attempts(names: Iterable[str]) -> list[AttemptKey]:
    """Read `17.3` and the like; a writer who was killed may have left a part of a file there."""
    found = map(_ATTEMPT.fullmatch, names)
    return [AttemptKey(int(one[1]), int(one[2])) for one in found if one]


def _pages(p: Pass, run: RunId, jobs: set[int]) -> Iterator[list[tuple[int, JobRecord]]]:
    """Return the pending ones of these jobs."""
    wanted = sorted(jobs)
    while wanted:
        page = p.ledger.jobs(run, start=wanted[0], count=1000)
        yield [
            (job, record)
            for job, record in page
            if job in jobs and record.state is JobState.PENDING
        ]
        end = page[-1][0] if page else wanted[-1]
        wanted = [job for job in wanted if job > end]


def _climbed(
    p: Pass, job: int, record: JobRecord, owners: Owners, last: int, claim: int
) -> list[Change]:
    """Return the steps of a pending job to its last attempt that the cluster knows of."""
    changes: list[Change] = []
    for attempt in range(record.attempt, last):
        owner = owners.get(AttemptKey(job, attempt))
        # an attempt that a job claimed was a try; it is over, or there would be no later one
        tried = owner is not None and not isinstance(owner, WorkerClaim)
        mine = replace(record, attempt=attempt, tries=record.tries + tried)
        passed = _adopted(p, job, replace(record, attempt=attempt), WorkerClaim(""), claim)
        record = replace(pending_again(mine, now=p.clock(), reason=""), since=p.clock())
        changes += [passed[0], replace(passed[1], record=record)]
    return [*changes, *_adopted(p, job, record, owners[AttemptKey(job, last)], claim)]


def _adopted(
    p: Pass, job: int, record: JobRecord, owner: SchedulerId | WorkerClaim, claim: int
) -> tuple[Change, Change]:
    now = p.clock()
    out = replace(
        record,
        state=JobState.SUBMITTING,
        cluster=p.name,
        claim=claim,
        since=now,
        token=Token(""),
        reason="",
    )
    was = (JobState.PENDING, record.attempt)
    first = Change(job=job, was=was, record=out, place=record.place)
    if isinstance(owner, WorkerClaim):
        then = pending_again(record, now=now, reason=record.reason)
    else:
        then = replace(out, state=JobState.RUNNING, id=owner)
    was = (JobState.SUBMITTING, record.attempt)
    return first, Change(job=job, was=was, record=then, due=now, place=out.place)


def run_of(token: Token) -> RunId | None:
    """Return whose token `jf.<run>.<digest>` is; None if it is none of ours."""
    if not token.startswith(MARK):
        return None
    return RunId(token.removeprefix(MARK).rpartition(".")[0])
