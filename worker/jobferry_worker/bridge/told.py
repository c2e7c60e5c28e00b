"""What a bridge tells of its jobs, and what it remembers between two listings; all of it may be lost.

A started job that its system does not have, and that has delivered nothing, is not told at all: to the worker it is a
job that its scheduler does not know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobferry_common.schedulers.base import Phase
from jobferry_worker.bridge.books import Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobferry_worker.bridge.base import Said
    from jobferry_worker.bridge.books import Job


class Told:
    """The memory of one bridge in one process."""

    def __init__(self, grace_seconds: float) -> None:
        self._grace = grace_seconds
        #: jobs that may have been started → since when the system answers without them
        self._unseen: dict[str, float] = {}
        #: jobs that have delivered nothing, and whose system does not know them
        self._nothing: set[str] = set()

    def of(self, job: Job, said: Sequence[Said], now: float) -> tuple[Phase | None, str]:
        """Return phase and reason of a job; None: nothing is told of it."""
        if job.step is Step.STARTING and not said:
            self._unseen.setdefault(job.id, now)
        else:
            self._unseen.pop(job.id, None)
        if said:
            self._nothing.discard(job.id)
        match job.step:
            case Step.ENDED:
                return Phase.ENDED, job.reason
            case Step.STARTED:
                return self._started(job, said)
            case Step.STARTING:
                return Phase.QUEUED, "it is being started"
            case _:
                return Phase.QUEUED, job.reason or "its files are on their way"

    def _started(self, job: Job, said: Sequence[Said]) -> tuple[Phase | None, str]:
        alive = [one for one in said if one.phase is not Phase.ENDED]
        phases = {one.phase for one in alive}
        if not said and job.id in self._nothing:
            return None, ""
        if Phase.QUEUED in phases and Phase.RUNNING not in phases:
            return Phase.QUEUED, alive[0].reason
        reason = alive[0].reason if alive else "its results are on their way"
        return Phase.RUNNING, reason or ", ".join(job.ids)

    def is_overdue(self, key: str, now: float) -> bool:
        """Tell whether the system has answered without a job for as long as a start may take to show."""
        return now - self._unseen.get(key, now) > self._grace

    def nothing(self, key: str) -> None:
        """Remember that a job which its system does not know has delivered nothing."""
        self._nothing.add(key)
