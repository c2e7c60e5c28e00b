"""A ledger that was lost, made again from what stands on the cluster and at its scheduler.

    the broker                              what is done
    is another process than before          runs that this ledger had and forgot are put back; what ended since, ends
    is empty                                nothing, until `jobferry cluster recover`, or until a submission comes again
    has a new run whose name is taken here  the same work: it goes on where the old one was; else it gets another number

What a run has done is read from its claims, its exit records and the tokens that the scheduler lists: what runs is
adopted, what ended is collected, what never began is submitted.
"""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import Conflict, JobferryError
from jobferry_common.files import NewFile
from jobferry_common.messages import checkup_key
from jobferry_common.names import RunId, run_id, submission_of
from jobferry_common.schedulers.base import Phase
from jobferry_common.scripts.layout import spool, traces
from jobferry_common.states import RunState
from jobferry_worker.reconcile import finding, listing, readback
from jobferry_worker.reconcile.closing import close
from jobferry_worker.reconcile.killpoints import kill_here

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobferry_common.schedulers.base import Listing
    from jobferry_common.scripts.traces import Trace
    from jobferry_worker.reconcile.finding import Problems
    from jobferry_worker.reconcile.passes import Pass

logger: Final = logging.getLogger(__name__)

_KEPT_SECONDS: Final = 3600
_PUT_BACK: Final = "put back"


def recover_if_wished(p: Pass) -> None:
    """Put back all that the cluster knows of, if somebody asked for it; what was found is left at the broker.

    Raises:
        SchedulerError, HostUnreachable: the cluster cannot be asked; the next pass tries again.
    """
    ticket = p.ledger.recovery_wish(p.name)
    if ticket is None:
        return
    problems: Problems = {}
    traced = finding.found(p, problems, finding.known_here(p).items())
    told = listing.listed(p)
    for trace in traced:
        p.ledger.note_number(trace.run)
    report = {trace.run: _put_back(p, trace, told, problems) for trace in traced}
    _link_spools(p, {trace.ledger for trace in traced})
    rows = [{"run": run, "what": what, "ok": True} for run, what in report.items() if what]
    rows += [{"run": run, "what": what, "ok": False} for run, what in problems.items()]
    rows += [{"run": run, "what": what, "ok": False} for run, what in _strangers(told, traced)]
    text = json.dumps({"cluster": p.name, "done": True, "runs": rows})
    p.ledger.ask("SET", checkup_key(p.settings, ticket), text, "EX", _KEPT_SECONDS)
    p.ledger.end_recovery(p.name)
    logger.warning("%d runs of %s were looked at.", len(rows), p.name, extra={"action": "recover"})


def recover_forgotten(p: Pass, told: Listing) -> frozenset[RunId]:
    """Put back the runs that this very ledger had and has forgotten; close those that ended since what it remembers.

    Returns the runs that are others than those which the cluster knows by their names.

    A run that was removed on purpose stays removed: the ledger remembers the number of its submission's last run.
    """
    problems: Problems = {}
    here = finding.known_here(p)
    mine = p.ledger.id
    unknown = [(run, name) for run, name in here.items() if not p.ledger.holds(run)]
    lost = [trace for trace in finding.found(p, problems, unknown) if trace.ledger == mine]
    for trace in lost:
        if p.ledger.last_number(submission_of(trace.run)) < trace.number and not trace.is_over:
            _put_back(p, trace, told, problems)
    open_here = [(run, here[run]) for run in p.mine(p.ledger.open_runs(p.name)) if run in here]
    others = set()
    for trace in finding.found(p, problems, open_here):
        if p.ledger.identity(trace.run)[0] != trace.nonce:
            others.add(trace.run)
        elif trace.is_over and not trace.shared:
            close(p, trace)
    for run in finding.wished_ends(p, [run for run, _ in open_here if run not in others]):
        p.ledger.wish_cancel(run)
    return frozenset(others)


def settle_names(p: Pass, runs: Iterable[RunId]) -> list[RunId]:
    """Return those of some new runs whose files may be brought now: nobody else here bears their names.

    Raises:
        SchedulerError, HostUnreachable: the cluster cannot be asked.
    """
    new = [run for run in runs if run not in p.memory.numbered]
    if new:
        here = finding.known_here(p)
        by_submission: dict[str, list[tuple[RunId, str]]] = {}
        for run, name in here.items():
            by_submission.setdefault(submission_of(run), []).append((run, name))
        for run in new:
            if not _is_renamed(p, run, by_submission.get(submission_of(run), [])):
                p.memory.numbered.add(run)
    return [run for run in runs if run in p.memory.numbered]


def _is_renamed(p: Pass, run: RunId, others: list[tuple[RunId, str]]) -> bool:
    """See whether the cluster knows a run of this name, or this very work; True if it bears another name now."""
    if not others:
        return False
    problems: Problems = {}
    traced = finding.found(p, problems, others)
    nonce, destination = p.ledger.identity(run)
    if own := [trace for trace in traced if trace.nonce == nonce]:
        return _stand_as(p, run, own[0])
    alive = [one for one in traced if one.destination == destination and not one.is_over]
    alive = [one for one in alive if not p.ledger.holds(one.run) or one.run == run]
    if alive:
        return _take_place(p, run, max(alive, key=lambda one: one.number))
    if run not in dict(others):
        return False
    last = max(int(name.rpartition("-")[2]) for name, _ in others)
    return _rename(p, run, run_id(submission_of(run), last + 1))


def _stand_as(p: Pass, run: RunId, trace: Trace) -> bool:
    """Have a run stand as it did when the broker forgot; True if it bears another name now, as it did then."""
    name = RunId(trace.run)
    if run != name and not _rename(p, run, name):
        return False
    if run != name and trace.is_over:
        close(p, trace)
    elif trace.staged and not p.ledger.run(name).staged:
        rebuild(p, trace, listing.listed(p))
    return run != name


def _take_place(p: Pass, run: RunId, trace: Trace) -> bool:
    """Have a new run go on where the same work was when the broker forgot it."""
    if p.header(run).tasks != _tasks_of(p, trace):
        msg = "%s has other tasks than %s, which is still at %s under the same name."
        logger.warning(msg, run, trace.run, p.name, extra={"action": "recover"})
    elif run == trace.run or _rename(p, run, trace.run):
        rebuild(p, trace, listing.listed(p))
        return run != trace.run
    return False


def _tasks_of(p: Pass, trace: Trace) -> int:
    try:
        return finding.document_of(p, trace)[0].header.tasks
    except JobferryError as error:
        logger.warning("%s", error, extra={"action": "recover"})
        return -1


def _rename(p: Pass, run: RunId, to: RunId) -> bool:
    p.lease.keep()
    renamed = p.ledger.rename(run, to, fence=p.lease.fence)
    if renamed:
        p.changed += 1
        p.memory.hurry(p.clock())
        logger.warning("Run %s is %s from now on.", run, to, extra={"action": "rename"})
    return renamed


def _put_back(p: Pass, trace: Trace, told: Listing, problems: Problems) -> str:
    """Put one run back; return what was done, or note why it was not."""
    try:
        if trace.is_over:
            return f"ended before ({trace.end}), its results are {trace.results}"
        same = p.ledger.last_of(trace.destination)
        if same and same != trace.run and _rename(p, same, trace.run):
            rebuild(p, trace, told)
            return f"{_PUT_BACK}: it was submitted again as {same} meanwhile"
        if p.ledger.holds(trace.run):
            if p.ledger.identity(trace.run)[0] == trace.nonce:
                return _finished_putting(p, trace, told)
            if same == trace.run and p.ledger.run(trace.run).state is RunState.ACCEPTED:
                rebuild(p, trace, told)
                return f"{_PUT_BACK}: it was submitted again meanwhile"
            raise Conflict(_taken(trace))
        document, taken = finding.document_of(p, trace)
        p.lease.keep()
        p.ledger.recover(
            document,
            trace.run,
            nonce=trace.nonce,
            accepted=trace.accepted,
            resumes=trace.resumes,
            taken=taken,
        )
        kill_here("after-recovered")
        rebuild(p, trace, told)
        counts = p.ledger.run(trace.run).counts
        out = sum(count for state, count in counts.items() if state.is_in_flight)
    except (Conflict, *finding.UNUSABLE) as error:
        problems[trace.run] = str(error)
        logger.warning("Run %s: %s", trace.run, error, extra={"action": "recover"})
        return ""
    return f"{_PUT_BACK}: the cluster has or had {out} of its {sum(counts.values())} jobs"


def _finished_putting(p: Pass, trace: Trace, told: Listing) -> str:
    """Go on with a run that a worker was putting back when it died."""
    record = p.ledger.run(trace.run)
    if record.state is not RunState.ACCEPTED or record.staged or not trace.staged:
        return "is in the ledger"
    rebuild(p, trace, told)
    return f"{_PUT_BACK}: it was so in part"


def _taken(trace: Trace) -> str:
    return (
        f"the ledger has another run {trace.run} by now: end or clean that one, then recover again; "
        f"what this one left is in {trace.control}"
    )


def rebuild(p: Pass, trace: Trace, told: Listing) -> None:
    """Have a run whose jobs are all pending stand as the cluster has it."""
    run = RunId(trace.run)
    p.ledger.doubt(p.name, run, read=False)
    nonce, _ = p.ledger.identity(run)
    if finding.wished_ends(p, [run]):
        p.ledger.wish_cancel(run)
    if trace.staged and not trace.shared:
        p.ledger.change_run(run, staged=True, fence=p.lease.fence)
    readback.compare(p, run, told)
    kill_here("after-rebuilt")
    now = replace(trace, nonce=nonce, ledger=p.ledger_id)
    p.write([NewFile(path=f"{traces(p.cluster.root, p.name)}/{run}", content=now.pack())])
    p.changed += 1
    p.memory.hurry(p.clock())
    logger.warning("Run %s was put back.", run, extra={"action": "recover"})


def _link_spools(p: Pass, ledgers: Iterable[str]) -> None:
    """Have the hints of jobs that still run arrive in our own spool; without it their ends are seen a little later."""
    for old in sorted(set(ledgers) - {p.ledger_id}):
        there = spool(p.cluster.root, old, p.name)
        p.cluster.host.make_directories([p.spool, there.rpartition("/")[0]])
        for argv in (("rm", "-rf", there), ("ln", "-sfn", p.spool, there)):
            if (done := p.command(argv)).exit_code:
                logger.warning("%s", done.stderr.strip(), extra={"action": "recover"})


def _strangers(told: Listing, traced: list[Trace]) -> list[tuple[str, str]]:
    """Return the runs of which the scheduler has jobs that did not end, and the cluster nothing else."""
    alive = {job.token for job in told.jobs.values() if job.phase is not Phase.ENDED}
    runs = {run for token in alive if token and (run := readback.run_of(token))}
    what = "its jobs are at the scheduler, and nothing else is known of it: they are left alone"
    return [(run, what) for run in sorted(runs - {trace.run for trace in traced})]
