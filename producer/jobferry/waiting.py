"""Waiting for a run in front of people: its progress on stderr, and a word when its cluster is the reason it waits."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING

from jobferry.progress import Progress
from jobferry.results import check
from jobferry_common.errors import BrokerUnreachable

if TYPE_CHECKING:
    from jobferry.client import Client
    from jobferry.handle import Handle
    from jobferry_common.ledger.records import RunRecord

_log = logging.getLogger(__name__)

#: seconds of silence after which the cluster is looked at
_SILENCE_SECONDS = 2.0
#: seconds before anything is shown of a run
_PATIENT_SECONDS = 1.0


def wait_shown(handle: Handle, timeout: float | None = None) -> RunRecord:
    """Return the run's record once it ended and its results are here; show its progress until then.

    Raises:
        TimeoutError: it still goes on after `timeout` seconds.
    """
    began, hint = time.monotonic(), ""
    with Progress() as progress:
        for record, events in handle.follow(timeout=timeout, pause=_SILENCE_SECONDS):
            last = record
            if time.monotonic() - began < _PATIENT_SECONDS:
                continue
            hint = "" if events else _hint(handle.client, record)
            progress.show(record, hint)
    return last


def coming_back(run: str) -> str:
    """Return how to go on with a run that was left."""
    return f"run {run} goes on; come back with: jobferry watch {run}, end it with: jobferry cancel {run}"


def wait_checked(handle: Handle) -> None:
    """Wait for a run in front of people; raise `WorkFailed` unless it finished. Ctrl-C leaves it running."""
    try:
        record = wait_shown(handle)
    except KeyboardInterrupt:
        sys.stderr.write(f"\njobferry: {coming_back(handle.id)}\n")
        raise
    result = handle.outcome(record)
    check(result)
    if result.lack:
        _log.warning("run %s: %s", handle.id, result.lack, extra={"action": "lacking"})


def _hint(client: Client, record: RunRecord) -> str:
    try:
        return client.why_waiting(record)
    except BrokerUnreachable:
        return "the broker does not answer"
