"""By which way a worker learned what became of a job: each of them has to occur, or nothing was tested."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jobferry_common.states import JobState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobferry_common.ledger.records import Change, JobRecord
    from jobferry_common.names import RunId, Token
    from tests.simulation.engine.fate import Fate

_OUT: Final = (JobState.QUEUED, JobState.RUNNING)


class Adoptions:
    """Counts the ways."""

    def __init__(self, fate: Fate) -> None:
        self._fate = fate
        #: submit commands whose answer arrived
        self.answered: set[Token] = set()
        #: ids that the history, or the queue asked by name, called ended
        self.by_history: set[str] = set()
        self.by_inquiry: set[str] = set()
        self.listed: set[str] = set()

    def note(self, run: RunId, changes: Sequence[Change]) -> None:
        """Take note of changes that stood."""
        before: dict[int, JobRecord] = {}
        for change in changes:
            state, _ = change.was
            to = change.record
            self._fate.tell(
                f"{run}/{change.job}: {state.value} -> {to.state.value} "
                f"(attempt {to.attempt}, {to.id or '-'}) {to.reason}"
            )
            if way := self._way(state, to, before.get(change.job)):
                self._fate.count(way)
            before[change.job] = to

    def _way(self, state: JobState, to: JobRecord, before: JobRecord | None) -> str:
        if state is JobState.SUBMITTING:
            return self._from_submitting(to, before)
        if state in _OUT and to.state is JobState.EXITED:
            return self._ended(to)
        if state in _OUT and to.state is JobState.RUNNING and before is None and to.reason == "":
            return ""
        return ""

    def _from_submitting(self, to: JobRecord, before: JobRecord | None) -> str:
        read_back = before is not None
        match to.state:
            case JobState.QUEUED if to.token not in self.answered:
                return "adopted by its token"
            case JobState.RUNNING:
                return "adopted on read-back" if read_back else "adopted by its claim"
            case JobState.EXITED:
                return "adopted by its record"
            case JobState.PENDING if read_back:
                return "read back: never ran"
            case JobState.PENDING if "submitted again" in to.reason:
                return "submitted again"
        return ""

    def _ended(self, to: JobRecord) -> str:
        if to.outcome == "lost":
            return "lost"
        if "removed from its array" in to.reason:
            return "removed from its array"
        if to.id in self.by_history:
            return "end told by the history"
        if to.id in self.by_inquiry:
            return "end told when asked by name"
        return ""
