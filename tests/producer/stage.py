"""A worker played by a test: it takes the jobs of a run through their states without any cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobferry_common.states import JobState, Outcome, ResultsState, RunState
from tests.common.ledger.documents import change_to, fence_of, reserve

if TYPE_CHECKING:
    from jobferry_common.ledger import Ledger
    from jobferry_common.names import RunId


class Stage:
    """Plays on one ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def run_job(self, run: RunId, job: int, *, code: int = 0, reason: str = "") -> None:
        """Let a job run and end, with an exit code."""
        reserve(self.ledger, run, [job])
        outcome = Outcome.FAILED if code else Outcome.SUCCEEDED
        end = JobState.FAILED if code else JobState.FINISHED
        for state in (JobState.RUNNING, JobState.EXITED, end):
            ended = state is not JobState.RUNNING
            known = {"outcome": outcome, "code": code, "reason": reason} if ended else {}
            change = change_to(self.ledger, run, job, state, **known)
            self.ledger.change(run, [change], fence=fence_of(self.ledger))

    def deliver(self, run: RunId, state: RunState = RunState.FINISHED, reason: str = "") -> None:
        """End a run and bring its results."""
        self.ledger.change_run(run, state=state, reason=reason)
        self.ledger.change_run(run, results=ResultsState.DELIVERED)

    def finish(self, run: RunId) -> None:
        """Let every job of a run succeed, and bring the results."""
        for job in range(self.ledger.run(run).jobs):
            self.run_job(run, job)
        self.deliver(run)

    def fail(self, run: RunId, job: int = 0, *, code: int = 3) -> None:
        """Let one job of a run fail for good, and bring the results."""
        self.run_job(run, job, code=code)
        self.deliver(run, RunState.FAILED, reason=f"job {job} failed")
