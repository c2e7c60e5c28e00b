"""Runs that ended long ago leave the ledger, and at last the numbers of their submissions.

for run in ledger.expired("hpc1", before=now - 30 * 86400):
ledger.forget(run)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jobferry_common.ledger.runs import RunsPart
from jobferry_common.names import RunId
from jobferry_common.states import ResultsState

if TYPE_CHECKING:
    from jobferry_common.names import ClusterName

_WINDOW: Final = 500
#: the number of a submission's last run outlives its runs for so long: as long as producers keep their documents
NUMBERS_SECONDS: Final = 90 * 86400
_BACK: Final = (ResultsState.DELIVERED, ResultsState.CLEANED)


class ExpirePart(RunsPart):
    """What is old."""

    def expired(self, cluster: ClusterName, *, before: float, limit: int = 200) -> list[RunId]:
        """Return runs of a cluster that ended before a time and whose results are back, oldest first."""
        found: list[RunId] = []
        start = 0
        while len(found) < limit:
            names = self.ask(
                "ZRANGEBYSCORE", self.key("runs"), "-inf", before, "LIMIT", start, _WINDOW
            )
            for record in self._records(map(RunId, names)):
                is_over = record.state.is_final and record.results in _BACK
                is_old = record.finished is not None and record.finished < before
                if is_over and is_old and cluster in record.clusters:
                    found.append(record.id)
            if len(names) < _WINDOW:
                break
            start += _WINDOW
        return found[:limit]

    def forget_old_numbers(self) -> None:
        """Forget the numbers of submissions whose last run left the ledger long ago."""
        key, limit = self.key("removed"), self.clock() - NUMBERS_SECONDS
        old = self.ask("ZRANGEBYSCORE", key, "-inf", limit, "LIMIT", 0, _WINDOW)
        if old:
            self.batch([("HDEL", self.key("submissions"), *old), ("ZREM", key, *old)])
