"""A run that ended while the broker, which remembers an earlier time, does not know it: its trace tells how.

close(p, trace)      # every job is what it came to be, nothing is submitted or fetched again
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from jobferry_common.ledger.records import Change, JobRecord
from jobferry_common.names import RunId
from jobferry_common.states import JobState, Outcome

if TYPE_CHECKING:
    from jobferry_common.scripts.traces import Trace
    from jobferry_worker.reconcile.passes import Pass

logger: Final = logging.getLogger(__name__)

_OPEN: Final = frozenset(state for state in JobState if not state.is_final)


def close(p: Pass, trace: Trace) -> None:
    """End a run as it ended before; its results are where its trace says.

    Raises:
        LeaseLost: somebody else holds the cluster.
    """
    run, start = RunId(trace.run), 0
    while page := p.ledger.jobs(run, states=_OPEN, start=start):
        ends = [change for job, record in page for change in _ended(p, trace, job, record)]
        p.change(run, ends)
        start = page[-1][0] + 1
    p.ledger.change_run(run, state=trace.end, reason=trace.reason, fence=p.lease.fence)
    p.ledger.change_run(run, results=trace.results, fence=p.lease.fence)
    while jobs := p.ledger.to_collect(run):
        p.ledger.collected(run, jobs)
    p.ledger.collected(run, ())
    logger.warning(
        "The broker had forgotten that run %s ended: it is %s.",
        *(run, trace.end),
        extra={"action": "recover"},
    )


def _ended(p: Pass, trace: Trace, job: int, record: JobRecord) -> list[Change]:
    """Return the steps of one job to its end; on the way it must have exited, unless it was pending."""
    known = trace.rest.get(job)
    done = replace(record, outcome=Outcome.SUCCEEDED, code=None, reason="")
    end = JobRecord.unpack(known) if known else replace(done, state=JobState.FINISHED)
    end = replace(end, attempt=record.attempt, cluster=record.cluster, claim=record.claim)
    changes = []
    was = record
    if record.state not in (JobState.PENDING, JobState.EXITED):
        was = replace(end, state=JobState.EXITED, since=p.clock())
        changes.append(_change(job, record, was))
    changes.append(_change(job, was, replace(end, since=p.clock())))
    return changes


def _change(job: int, was: JobRecord, to: JobRecord) -> Change:
    return Change(job=job, was=(was.state, was.attempt), record=to, place=was.place)
