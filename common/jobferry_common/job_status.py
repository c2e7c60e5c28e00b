"""Where a job or a task is, in the words and numbers of DPDispatcher.

>>> JobStatus.finished
<JobStatus.finished: 5>
"""

from __future__ import annotations

from enum import IntEnum


class JobStatus(IntEnum):
    """Where a job is, in DPDispatcher's words and numbers."""

    unsubmitted = 1  #: not handed to a scheduler so far
    waiting = 2  #: in its queue
    running = 3
    terminated = 4  #: cancelled
    finished = 5
    completing = 6  #: over; what becomes of it is being settled
    failed = 7  #: for good, after its tries
    unknown = 100  #: the ledger does not know it
