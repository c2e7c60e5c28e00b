"""One submit command: files, intent, command, ids. The intent stands in the ledger before the command runs.

write files → reserve (pending → submitting, token) → submit command → queued, with ids
                                                      busy: pending again, a little later
                                                      refused: failed, in the scheduler's words; of a run that
                                                      clusters share, left to the others
                                                      no such command: pending again, and the cluster is paused
                                                      no answer: stays submitting, is adopted or claimed later
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import (
    BadInput,
    CannotRun,
    HostUnreachable,
    StagingError,
    SubmitBusy,
    SubmitRefused,
    SubmitUnknown,
)
from jobferry_common.failures import resources_of
from jobferry_common.ledger.records import Change
from jobferry_common.names import AttemptKey, SchedulerId, token_of
from jobferry_common.schedulers.base import Submit
from jobferry_common.scripts.render import batch_files, header_lines
from jobferry_common.states import JobState
from jobferry_worker.reconcile import health, readback
from jobferry_worker.reconcile.killpoints import kill_here
from jobferry_worker.reconcile.moves import pending_again
from jobferry_worker.reconcile.passes import UnreadableRun
from jobferry_worker.reconcile.singly import say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jobferry_common.document import Header, TaskSpec
    from jobferry_common.ledger.records import JobRecord
    from jobferry_common.names import RunId, Token
    from jobferry_common.scripts.layout import Layout
    from jobferry_worker.reconcile.passes import Pass

    Pending = Sequence[tuple[int, JobRecord]]

logger: Final = logging.getLogger(__name__)

#: seconds that a run rests after it was turned away, doubled with each time, and the most of it
_REST: Final = 1.0
_REST_MOST: Final = 60.0


def submit(p: Pass, run: RunId, jobs: Pending) -> None:
    """Submit pending jobs of a run with one command.

    Raises:
        LeaseLost: somebody else holds the cluster.
        HostUnreachable: the machine does not answer.
    """
    if p.cannot_submit:
        return
    try:
        if not readback.agrees(p, run):
            return
        token, command = _written(p, run, jobs)
    except UnreadableRun as error:
        logger.error("%s", error, extra={"action": "submit"})  # noqa: TRY400
        return
    except BadInput as error:
        _fail(p, run, jobs, str(error))
        return
    except StagingError as error:
        _rest(p, run, len(jobs), str(error))
        return
    kill_here("before-reserve")
    if not _reserve(p, run, token, jobs, single=command.size is None):
        logger.info("Run %s changed meanwhile; nothing was submitted.", run)
        return
    kill_here("after-reserve")
    _give(p, run, token, jobs, command)


def _written(p: Pass, run: RunId, jobs: Pending) -> tuple[Token, Submit]:
    """Write what the jobs need on the cluster; return their token, and the command that submits them."""
    layout, header = p.layout(run), _asking(p, run, jobs)
    attempts = [AttemptKey(job, record.attempt) for job, record in jobs]
    token = token_of(run, attempts)
    kill_here("before-files")
    _write_files(p, layout, header, token, attempts)
    requeue = p.cluster.profile.requeue
    command = Submit(
        script=layout.script(token),
        directory=layout.base,
        log=layout.log(token),
        token=token,
        name=header.name or run,
        size=None if len(jobs) == 1 else len(jobs),
        header=header_lines(header, p.cluster.scheduler, requeue=requeue),
        requeue=requeue,
    )
    return token, command


def _asking(p: Pass, run: RunId, jobs: Pending) -> Header:
    """Return the run's header with what these jobs ask for: all of them the same, as they were planned."""
    header = p.header(run)
    resources = resources_of(header, jobs[0][1].asks, p.name)
    return header if resources is header.resources else replace(header, resources=resources)


def _write_files(
    p: Pass, layout: Layout, header: Header, token: Token, attempts: Sequence[AttemptKey]
) -> None:
    tasks = _tasks(p, layout.run, header, attempts)
    files = batch_files(
        layout,
        header,
        p.cluster.scheduler,
        token,
        attempts,
        tasks,
        login_shell=p.cluster.login_shell,
        array=len(attempts) > 1,
        requeue=p.cluster.profile.requeue,
        elsewhere=p.cluster.profile.is_bridged,
    )
    p.cluster.host.make_directories(layout.directories)
    p.write(files)


def _tasks(
    p: Pass, run: RunId, header: Header, attempts: Sequence[AttemptKey]
) -> dict[int, list[tuple[int, TaskSpec]]]:
    wanted = {attempt.job: header.tasks_of(attempt.job) for attempt in attempts}
    specs = p.ledger.tasks(run, (task for tasks in wanted.values() for task in tasks))
    try:
        return {job: [(task, specs[task]) for task in tasks] for job, tasks in wanted.items()}
    except KeyError as error:
        msg = f"the document of run {run} lacks task {error}"
        raise UnreadableRun(msg) from error


def _reserve(p: Pass, run: RunId, token: Token, jobs: Pending, *, single: bool) -> bool:
    p.step(p.timings.command)
    return p.ledger.reserve(
        run,
        p.name,
        token,
        [AttemptKey(job, record.attempt) for job, record in jobs],
        fence=p.lease.fence,
        now=p.clock(),
        single=single,
        claims=[record.claim for _, record in jobs],
    )


def _give(p: Pass, run: RunId, token: Token, jobs: Pending, command: Submit) -> None:
    scheduler = p.cluster.scheduler
    try:
        done = p.command(scheduler.submit(command))
        kill_here("after-submit")
        given = scheduler.parse_submit(done)
    except CannotRun as error:
        _impossible(p, run, token, jobs, error)
    except SubmitBusy as error:
        p.cluster.budget.complain()
        _busy(p, run, token, jobs, str(error))
    except SubmitRefused as error:
        _refused(p, run, token, jobs, str(error))
    except (SubmitUnknown, HostUnreachable) as error:
        logger.warning("No answer to the submit of %s: %s", run, error, extra={"action": "submit"})
        p.memory.hurry(p.clock() + p.timings.look_seconds)
        if isinstance(error, HostUnreachable):
            raise
    else:
        _given(p, run, token, jobs, given)
        kill_here("after-ids")


def _given(p: Pass, run: RunId, token: Token, jobs: Pending, given: SchedulerId) -> None:
    element: Callable[[int], SchedulerId] = (
        (lambda _: given)
        if len(jobs) == 1
        else (lambda index: p.cluster.scheduler.element(given, index))
    )
    changes = [
        _from_submitting(
            p,
            job,
            replace(record, state=JobState.QUEUED, id=element(index), token=token, reason=""),
        )
        for index, (job, record) in enumerate(jobs)
    ]
    p.change(run, changes)
    pause = p.header(run).resources.wait_time
    p.memory.release(run, len(jobs), p.clock() + pause if pause else 0.0)
    if run in p.memory.complained:
        p.memory.complained.discard(run)
        p.ledger.change_run(run, reason="", fence=p.lease.fence)
    what = f"{len(jobs)} jobs of " if len(jobs) > 1 else "1 job of "
    logger.info("Submitted %s%s as %s.", what, run, given, extra={"action": "submit", "id": given})


def _impossible(p: Pass, run: RunId, token: Token, jobs: Pending, error: CannotRun) -> None:
    """Nobody's jobs can be submitted: all wait, and one try is made after a while, and then after a longer one."""
    times = p.timings
    _busy(p, run, token, jobs, str(error), rest=(times.probe_seconds, times.probe_max_seconds))
    p.memory.submit_again = p.memory.holds[run].until
    p.cannot_submit = str(error)
    health.pause_for(p, error)


def _busy(
    p: Pass,
    run: RunId,
    token: Token,
    jobs: Pending,
    words: str,
    rest: tuple[float, float] | None = None,
) -> None:
    """Not now: the jobs wait on, and the run tries half as many next time."""
    least, most = rest or (_REST, p.timings.look_seconds)
    hold = p.memory.hold(run, p.clock(), least=least, most=most, size=len(jobs))
    shared = p.header(run).is_shared
    # another cluster may have room for them now
    _back(p, run, jobs, due=p.clock() if shared else hold.until, reason=words)
    if shared:  # nor does what else is claimed of it go here now
        p.ledger.unclaim(run, p.name)
    logger.info("%s waits: %s", run, words, extra={"action": "submit-busy", "token": token})


def _refused(p: Pass, run: RunId, token: Token, jobs: Pending, words: str) -> None:
    """Wrong for ever; unless our facts are old and only the array was too large."""
    if len(jobs) > 1:
        old = p.facts.max_array
        p.cluster.forget_facts()
        if p.facts.max_array < min(old, len(jobs)):
            _back(p, run, jobs, due=p.clock(), reason=words)
            return
    logger.warning("%s refused: %s", run, words, extra={"action": "refused", "token": token})
    if _is_for_others(p, run, jobs):
        _back(p, run, jobs, due=p.clock(), reason=f"{p.name}: {words}")
        _leave_to_others(p, run, words)
        return
    changes = [
        _from_submitting(p, job, replace(record, state=JobState.FAILED, reason=words))
        for job, record in jobs
    ]
    p.change(run, changes)


def _is_for_others(p: Pass, run: RunId, jobs: Pending) -> bool:
    """Tell whether a refusal holds for all jobs of a run that others share; not if these ask for more than it does."""
    return p.header(run).is_shared and not any(record.asks for _, record in jobs)


def _leave_to_others(p: Pass, run: RunId, words: str) -> None:
    """This cluster never takes jobs of the run; another one may know the partition, or have larger nodes."""
    kill_here("before-refuse")
    p.lease.keep()
    p.ledger.refuse(run, p.name, words)
    p.changed += 1
    p.others.update(name for name in p.ledger.run(run).targets if name != p.name)
    say(p, run, f"{p.name} takes none of its jobs: {words}")


def _back(p: Pass, run: RunId, jobs: Pending, *, due: float, reason: str) -> None:
    changes = []
    for job, record in jobs:
        again = pending_again(record, now=p.clock(), reason=reason, same_attempt=True)
        place = replace(record, cluster=p.name).place
        changes.append(replace(_from_submitting(p, job, again), due=due, place=place))
    p.change(run, changes)


def _from_submitting(p: Pass, job: int, record: JobRecord) -> Change:
    flying = record.state.is_in_flight
    now = replace(record, since=p.clock(), cluster=p.name if flying else record.cluster)
    place = replace(record, cluster=p.name).place
    return Change(job=job, was=(JobState.SUBMITTING, record.attempt), record=now, place=place)


def _fail(p: Pass, run: RunId, jobs: Pending, words: str) -> None:
    """What the user gave can never be submitted; by another cluster's scheduler perhaps."""
    logger.warning("%s cannot be submitted: %s", run, words, extra={"action": "refused"})
    if _is_for_others(p, run, jobs):
        _leave_to_others(p, run, words)
        return
    changes = [
        Change(
            job=job,
            was=(record.state, record.attempt),
            record=replace(record, state=JobState.FAILED, since=p.clock(), reason=words),
            place=record.place,
        )
        for job, record in jobs
    ]
    p.change(run, changes)


def _rest(p: Pass, run: RunId, size: int, words: str) -> None:
    """Its files cannot be written: this run waits, and says why; others go on."""
    hold = p.memory.hold(run, p.clock(), least=_REST, most=_REST_MOST, size=size * 2)
    if p.header(run).is_shared:
        p.ledger.unclaim(run, p.name)
    p.ledger.change_run(run, reason=words, fence=p.lease.fence)
    p.memory.complained.add(run)
    logger.warning(
        "%s waits %.0f s: %s", run, hold.until - p.clock(), words, extra={"action": "submit-rest"}
    )
