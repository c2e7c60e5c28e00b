"""A run that no worker ever took up can be ended by its producer: nobody else would.

ledger.end_untouched(run)       # True: it is cancelled, nothing of it was ever anywhere
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from jobferry_common.ledger.jobs import JobsPart
from jobferry_common.ledger.records import Change, JobRecord
from jobferry_common.names import RunId
from jobferry_common.states import JobState, RunState

_PAGE: Final = 1000
_WHY: Final = "cancelled on request; no worker had taken it up"


class UntouchedPart(JobsPart):
    """Ending what nobody began."""

    def end_untouched(self, run: RunId) -> bool:
        """End a run if nothing was done for it; False if something was, or the broker may have forgotten it.

        A worker that comes at this moment may do so too: each change holds only if the job is still pending.

        Raises:
            UnknownId: the ledger does not hold the run.
        """
        record = self.run(run)
        born, server = self.batch([("HGET", self.key("run", run), "born"), ("INFO", "server")])
        untouched = record.state is RunState.ACCEPTED and not record.staged and not record.targets
        if not untouched or born != server["run_id"]:
            return False
        while page := self.jobs(run, states={JobState.PENDING}, count=_PAGE):
            self.change(run, [self._cancelled(job, one) for job, one in page], fence=None)
        counts = self.run(run).counts
        if any(count for state, count in counts.items() if not state.is_final):
            return False
        ended = RunState.CANCELLED
        return self.change_run(run, state=ended, was=RunState.ACCEPTED, reason=_WHY)

    def _cancelled(self, job: int, record: JobRecord) -> Change:
        ended = replace(record, state=JobState.CANCELLED, since=self.clock(), reason=_WHY)
        return Change(job=job, was=(record.state, record.attempt), record=ended)
