"""A cluster whose passes fail: it rests, is paused with a reason, is probed, and resumes by itself.

It is paused with the first failure where more of them would tell nothing new: a command does not exist there.
An operator's pause is left alone, and so is an operator's resume: `paused_by` keeps "operator" until a pass goes well.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import CannotRun, HostUnreachable

if TYPE_CHECKING:
    from jobferry_common.errors import JobferryError
    from jobferry_common.ledger.records import ClusterRecord
    from jobferry_common.settings import Timings
    from jobferry_worker.reconcile.passes import Pass

logger: Final = logging.getLogger(__name__)

BY_US: Final = "jobferry"
BY_OPERATOR: Final = "operator"
#: failures in a row after which others are told
_PATIENCE: Final = 3
#: who waited so long for a machine that did not answer tells it the first time
_LONG_SECONDS: Final = 20.0


def is_resting(record: ClusterRecord, now: float, timings: Timings) -> float:
    """Return the seconds until a failing cluster is tried again; 0 if it may be tried now."""
    left = record.probe_at - now
    # a clock that was set back must not make it rest for ever
    return left if 0 < left <= timings.probe_max_seconds else 0.0


def failed(p: Pass, record: ClusterRecord, error: JobferryError, *, began: float) -> float:
    """Note a failed pass; return the seconds until the next."""
    now, timings = p.clock(), p.timings
    failures = record.failures + 1
    rest: float = min(
        timings.probe_seconds * 2.0 ** min(failures - 1, 20), timings.probe_max_seconds
    )
    fields: dict[str, str | float] = {"failures": failures, "probe_at": now + rest}
    waited = isinstance(error, HostUnreachable) and now - began >= _LONG_SECONDS
    is_plain = waited or isinstance(error, CannotRun)
    if (is_plain or failures >= _PATIENCE) and record.paused_by != BY_OPERATOR:
        fields |= {"paused": _reason(record, error), "paused_by": BY_US}
    p.ledger.set_cluster(record.name, **fields)
    logger.warning(
        "The pass over %s failed (%d in a row): %s. The next one is in %.0f s.",
        *(record.name, failures, error, rest),
        extra={"action": "pass-failed"},
    )
    return rest


def _reason(record: ClusterRecord, error: JobferryError) -> str:
    where = f"{record.account}: " if isinstance(error, CannotRun) else ""
    return f"{where}{error}" if str(error) else type(error).__name__


def pause(p: Pass, reason: str) -> None:
    """Stop submitting, until a look shows that all is well again."""
    p.ledger.set_cluster(p.name, paused=reason, paused_by=BY_US)
    logger.error("%s is paused: %s", p.name, reason, extra={"action": "pause"})


def pause_for(p: Pass, error: CannotRun) -> None:
    """Stop submitting, because there is nothing to submit with; what is out is looked after all the same."""
    record = p.ledger.cluster(p.name)
    if record.paused_by != BY_OPERATOR:
        pause(p, _reason(record, error))


def succeeded(p: Pass, record: ClusterRecord, *, looked: bool, mass: bool) -> None:
    """Note a pass that went well; what we paused goes on once the scheduler answers as it should."""
    now = p.clock()
    fields: dict[str, str | float] = {"last_pass": now}
    if looked:
        fields["last_look"] = now
    if record.failures or record.probe_at:
        fields |= {"failures": 0, "probe_at": 0.0}
    is_well = record.probe_at > 0 or looked or not record.in_flight
    nothing_to_submit_with = 0 < p.memory.submit_again - now <= p.timings.probe_max_seconds
    if record.paused_by == BY_US and is_well and not (mass or nothing_to_submit_with):
        fields |= {"paused": "", "paused_by": ""}
        logger.info("%s resumes.", p.name, extra={"action": "resume"})
    elif record.paused_by == BY_OPERATOR and not record.paused and (looked or not record.in_flight):
        fields["paused_by"] = ""
    p.ledger.set_cluster(p.name, **fields)
