"""Carry out what was planned: each effect under the lease, with a place to be killed at after it."""

from __future__ import annotations

import logging
import os
import socket
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from jobferry_common.errors import SchedulerError
from jobferry_common.files import NewFile
from jobferry_common.ledger.records import Change
from jobferry_common.scripts.layout import is_refusal
from jobferry_common.scripts.records import WorkerClaim, parse_claim, worker_claim
from jobferry_common.states import JobState
from jobferry_worker.reconcile import actions, health, readback
from jobferry_worker.reconcile.killpoints import kill_here
from jobferry_worker.reconcile.moves import told_by
from jobferry_worker.reconcile.passes import CORRUPT, EXPECTED, UnreadableRun
from jobferry_worker.reconcile.sharing import claim_jobs
from jobferry_worker.reconcile.singly import all_or_singly
from jobferry_worker.reconcile.submit import submit
from jobferry_worker.reconcile.sweeping import leave

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from jobferry_common.ledger.records import JobRecord
    from jobferry_common.names import RunId, SchedulerId
    from jobferry_worker.reconcile.actions import Action, Try
    from jobferry_worker.reconcile.passes import Pass

logger: Final = logging.getLogger(__name__)

_PAGE: Final = 1000
#: pages of pending jobs that are cancelled in one round
_PAGES: Final = 10
#: seconds until the scheduler is asked whether it did what it was told
_SOON: Final = 2.0


def apply(p: Pass, planned: Iterable[Action]) -> None:
    """Carry out every action but questions, in order.

    Raises:
        LeaseLost: somebody else holds the cluster; what was done stays done.
        HostUnreachable, SchedulerError, StagingError: the cluster fails; the next pass goes on from what it sees.
    """
    for action in planned:
        run: RunId | None = getattr(action, "run", None)
        if run in p.left_alone:
            continue
        try:
            _EFFECTS[type(action)](p, action)
        except EXPECTED:
            raise
        except Exception as error:
            if run is None:
                raise
            p.blame(run, error)


def claim(
    p: Pass, tries: Iterable[Try]
) -> tuple[Mapping[Try, SchedulerId | WorkerClaim], frozenset[RunId]]:
    """Try to claim attempts for the worker; return who owns each of them now, and the runs where it failed."""
    paths: dict[str, Try] = {}
    for key in tries:
        try:
            paths[p.layout(key.run).claim(key.attempt)] = key
        except UnreadableRun as error:
            logger.warning("%s", error, extra={"action": "claim"})
    return all_or_singly(p, lambda some: _owners(p, some), paths)


def _owners(p: Pass, paths: Mapping[str, Try]) -> Mapping[Try, SchedulerId | WorkerClaim]:
    me = f"{socket.gethostname()}:{os.getpid()}"
    p.create([NewFile(path=path, content=worker_claim(me)) for path in paths])
    kill_here("after-claims")
    # what was made where nothing is mounted is no claim: it counts as it is read, together with the root's proof
    return {paths[path]: parse_claim(text) for path, text in p.read_known(list(paths)).items()}


def _change(p: Pass, action: actions.ChangeJobs) -> None:
    done = p.change(action.run, action.changes)
    for change in action.changes:
        logger.info(
            "Job %s/%d is %s%s.",
            *(action.run, change.job, change.record.state.value),
            f" ({change.record.reason})" if change.record.reason else "",
            extra={"action": "job", "attempt": change.record.attempt},
        )
    p.ledger.count(p.name, **told_by(action.changes))
    if any(change.record.state is JobState.EXITED for change in action.changes):
        p.memory.room_appeared()
    kill_here("after-changes")
    logger.debug("%d of %d changes of %s stood.", done, len(action.changes), action.run)


def _cancel(p: Pass, action: actions.CancelJobs) -> None:
    for start in range(0, len(action.jobs), _PAGE):
        part = action.jobs[start : start + _PAGE]
        done = p.command(p.cluster.scheduler.cancel([key for _, key in part]))
        p.memory.told |= {key: p.clock() for key, _ in part}
        kill_here("after-cancel")
        if done.exit_code:
            # some may have ended meanwhile; the listing will tell
            logger.warning("Cancel: %s", done.stderr.strip(), extra={"action": "cancel"})
    p.memory.hurry(p.clock() + _SOON)


def _cancel_pending(p: Pass, action: actions.CancelPending) -> None:
    if not readback.may_end_pending(p, action.run):
        return
    for _ in range(_PAGES):
        page = p.ledger.jobs(action.run, states={JobState.PENDING}, count=_PAGE)
        changes = [_ended(p, record, job, action) for job, record in page]
        p.change(action.run, changes)
        kill_here("after-pending-cancelled")
        if len(page) < _PAGE:
            return


def _ended(p: Pass, record: JobRecord, job: int, action: actions.CancelPending) -> Change:
    ended = replace(record, state=action.state, since=p.clock(), reason=action.reason)
    return Change(job=job, was=(record.state, record.attempt), record=ended, place=record.place)


def _end(p: Pass, action: actions.EndRun) -> None:
    counts = p.ledger.run(action.run).counts
    if any(count for state, count in counts.items() if not state.is_final):
        return
    p.step()
    try:
        ended = p.ledger.change_run(
            action.run,
            state=action.state,
            reason=action.reason,
            was=action.was,
            fence=p.lease.fence,
        )
    except CORRUPT as error:
        # it has ended; only its marks on directories, which mean nothing now, could not be taken off
        logger.warning("%s: %s", action.run, error, extra={"action": "run"})
        ended = True
    kill_here("after-end")
    if ended:
        p.changed += 1
        p.others.update(name for name in p.ledger.places(action.run) if name != p.name)
        logger.info("Run %s is %s.", action.run, action.state.value, extra={"action": "run"})


def _tidy(p: Pass, action: actions.Tidy) -> None:
    leave(p, action.names)
    p.ledger.count(p.name, refused=sum(map(is_refusal, action.names)))
    kill_here("after-tidy")


def _forget(p: Pass, action: actions.Forget) -> None:
    argv = p.cluster.scheduler.forget(action.ids)
    if argv is None:
        return
    try:
        p.command(argv).checked()
    except SchedulerError as error:
        logger.warning("Forget: %s", error, extra={"action": "forget"})
    kill_here("after-forget")


def _submit(p: Pass, action: actions.SubmitJobs) -> None:
    submit(p, action.run, action.jobs)


def _pause(p: Pass, action: actions.Pause) -> None:
    health.pause(p, action.reason)


#: a claim is missing here: it is a question, which `claim` answers
_EFFECTS: Final[Mapping[type[Action], Callable[[Pass, Any], None]]] = MappingProxyType(
    {
        actions.ChangeJobs: _change,
        actions.CancelJobs: _cancel,
        actions.CancelPending: _cancel_pending,
        actions.EndRun: _end,
        actions.SubmitJobs: _submit,
        actions.ClaimJobs: claim_jobs,
        actions.Pause: _pause,
        actions.Tidy: _tidy,
        actions.Forget: _forget,
    }
)
