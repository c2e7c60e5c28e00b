"""Waiting for a run in front of people: its progress on stderr, and a word when its cluster is the reason it waits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from jobferry.progress import Progress
from jobferry_common.errors import BrokerUnreachable

if TYPE_CHECKING:
    from jobferry.client import Client
    from jobferry.handle import Handle
    from jobferry_common.ledger.records import RunRecord

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


def _hint(client: Client, record: RunRecord) -> str:
    try:
        return client.why_waiting(record)
    except BrokerUnreachable:
        return "the broker does not answer"
