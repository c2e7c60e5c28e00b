"""Runs: reading, listing, finding by prefix, changing, cancelling, forgetting.

run = ledger.resolve("3f2a")
ledger.change_run(run, state=RunState.FINISHED, was=RunState.ACTIVE)
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Final

from jobferry_common.errors import AmbiguousId, Conflict, UnknownId
from jobferry_common.ledger.garbled import passed_over
from jobferry_common.ledger.pages import marks_of
from jobferry_common.ledger.records import Fence, RunRecord
from jobferry_common.ledger.specs import SpecsPart, unknown_run
from jobferry_common.ledger.store import fence_arguments
from jobferry_common.names import ClusterName, RunId, run_id, submission_of
from jobferry_common.states import JobState, ResultsState, RunState
from jobferry_common.versions import known

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_COUNTS: Final = tuple(f"n:{state.value}" for state in JobState)
_FIELDS: Final = (
    *("state", "results", "owner", "cluster", "name", "staged", "cancel", "tasks", "jobs"),
    *(
        "accepted",
        "finished",
        "reason",
        "taken",
        "resumes",
        "targets",
        "priority",
        "held",
        "refused",
        "schema",
    ),
    *_COUNTS,
)
#: the answer when a run's directories became free
_FREE: Final = 2
_SHOWN: Final = 5


class RunsPart(SpecsPart):
    """The records of runs."""

    def run(self, run: RunId) -> RunRecord:
        """Return the record of a run.

        Raises:
            UnknownId: the ledger does not hold it, or it cannot be read.
            NewerVersion: a newer jobferry accepted it.
        """
        found = self._records([run])
        if not found:
            self._refuse_garbled(run)
            raise unknown_run(run)
        return found[0]

    def runs(self, *, limit: int = 1000, open_only: bool = False) -> list[RunRecord]:
        """Return the newest runs, newest first."""
        key = self.key("open" if open_only else "runs")
        return self._records(self.ask("ZREVRANGE", key, 0, limit - 1))

    def open_runs(self, cluster: ClusterName) -> list[RunId]:
        """Return the runs of a cluster that have not ended, oldest first."""
        return list(self.ask("ZRANGE", self.key("open", cluster), 0, -1))

    def to_judge(self, cluster: ClusterName) -> list[RunId]:
        """Return open runs in which a job failed or was cancelled, or that have nothing left to do."""
        return sorted(self.ask("SMEMBERS", self.key("judge", cluster)))

    def resolve(self, prefix: str) -> RunId:
        """Return the run that a prefix stands for; the newest one of a submission.

        Raises:
            UnknownId: no run begins so, or nothing was given.
            AmbiguousId: several submissions begin so.
        """
        # a shell script's variable that is not set must not mean the only run there is
        if not prefix:
            msg = "the id of a run is empty. `jobferry status` lists them."
            raise UnknownId(msg)
        if not prefix.isascii():  # a broken character cannot even be asked for
            raise self._no_match(prefix)
        high = f"[{prefix}\x7f"
        found: list[RunId] = self.ask(
            "ZRANGEBYLEX", self.key("names"), f"[{prefix}", high, "LIMIT", 0, 1000
        )
        if prefix in found:
            return RunId(prefix)
        if not found:
            raise self._no_match(prefix)
        submissions = sorted({submission_of(run) for run in found})
        if len(submissions) > 1:
            more = ", …" if len(submissions) > _SHOWN else ""
            msg = f"{prefix!r} could be {', '.join(submissions[:_SHOWN])}{more}: give more of it"
            raise AmbiguousId(msg)
        return max(found, key=lambda run: int(run.rpartition("-")[2]))

    def change_run(  # noqa: PLR0913 - one argument for each field
        self,
        run: RunId,
        *,
        state: RunState | None = None,
        results: ResultsState | None = None,
        staged: bool | None = None,
        reason: str | None = None,
        was: RunState | None = None,
        fence: Fence | None = None,
    ) -> bool:
        """Make fields of a run so; False if it is not in `was` (any more), or has ended otherwise.

        Raises:
            IllegalTransition: the table of states forbids it.
            LeaseLost: the fence is stale.
            UnknownId: the ledger does not hold the run.
        """
        fields: dict[str, str | int | None] = {
            "state": state and state.value,
            "results": results and results.value,
            "staged": None if staged is None else int(staged),
            "reason": reason,
        }
        pairs = [
            part for name, value in fields.items() if value is not None for part in (name, value)
        ]
        head = (run, *fence_arguments(fence), was.value if was else "", self.clock())
        answer = self.call("change_run", *head, *pairs)
        if answer == _FREE:
            self.free_directories(run)
        return bool(answer)

    def wish_cancel(self, run: RunId) -> bool:
        """Note that somebody wants a run to end; False if it has ended."""
        return bool(self.call("wish_cancel", run, self.clock()))

    def cancel_wishes(self, cluster: ClusterName) -> list[RunId]:
        """Return the open runs of a cluster that somebody wants cancelled."""
        return sorted(self.ask("SMEMBERS", self.key("cancel", cluster)))

    def forget(self, run: RunId) -> None:
        """Remove all that the ledger holds of a run; nothing happens if it holds nothing.

        Raises:
            Conflict: the run has not ended.
        """
        self.free_directories(run)
        if self.call("forget", run, self.clock()) < 0:
            msg = f"run {run} has not ended: cancel it first (`jobferry cancel {run}`)"
            raise Conflict(msg)

    def was_removed(self, run: RunId) -> bool:
        """Tell of a run that is not there whether it was removed; False: the broker lost it, or never had it.

        Raises:
            UnknownId: it is there, and cannot be read.
        """
        self._refuse_garbled(run)
        last = self.ask("HGET", self.key("submissions"), submission_of(run))
        return int(last or 0) >= int(run.rpartition("-")[2])

    def siblings(self, run: RunId) -> list[RunId]:
        """Return the other runs of the same submission, owner and directory that the ledger holds, oldest first."""
        submission = submission_of(run)
        last = int(self.ask("HGET", self.key("submissions"), submission) or 0)
        runs = [run_id(submission, number) for number in range(1, last + 1)]
        answers = self.batch(
            [("HGET", self.key("run", one), "destination") for one in (run, *runs)]
        )
        pairs = zip(runs, answers[1:], strict=True)
        return [one for one, its in pairs if its and its == answers[0] and one != run]

    def displaced_by(self, run: RunId) -> RunId | None:
        """Return the run that works in its directories since it was given up; None: they are its own."""
        found = self.ask("HGET", self.key("run", run), "displaced")
        return RunId(found) if found else None

    def free_directories(self, run: RunId) -> None:
        """Free the directories of a run that ended. If this is cut short, `accept` sees that it needs them no more."""
        try:
            header = self.header(run)
        except UnknownId:
            return
        if not self.run(run).state.is_final:
            return
        heir = next(iter(self._undelivered(self.siblings(run))), "")
        for page in self.task_pages(run):
            self.call("unmark", run, heir, *marks_of(header, (task for _, task in page)))

    def _undelivered(self, runs: Iterable[RunId]) -> list[RunId]:
        """Return those that ended and whose results are still to be brought."""
        waiting = (ResultsState.REMOTE, ResultsState.DEPOT)
        records = self._records(runs)
        return [one.id for one in records if one.state.is_final and one.results in waiting]

    def _records(self, runs: Iterable[RunId]) -> list[RunRecord]:
        names = list(runs)
        answers = self.batch([("HMGET", self.key("run", run), *_FIELDS) for run in names])
        rows = (dict(zip(_FIELDS, answer, strict=True)) for answer in answers)
        found: list[RunRecord] = []
        for run, row in zip(names, rows, strict=True):
            if row["state"]:
                with passed_over(self.key("run", run), newer=True):
                    found.append(_record(run, row))
        return found

    def _refuse_garbled(self, run: RunId) -> None:
        key = self.key("run", run)
        known(f"run {run}", self.ask("HGET", key, "schema"))
        if self.ask("EXISTS", key):
            msg = (
                f"the record of run {run} in the ledger ({key}) cannot be read: expected what jobferry wrote there. "
                "Has another program, or another version, written to it? The logs say what is wrong with it"
            )
            raise UnknownId(msg)

    def _no_match(self, prefix: str) -> UnknownId:
        known = self.ask("ZREVRANGE", self.key("runs"), 0, 200)
        near = difflib.get_close_matches(prefix, known, n=3, cutoff=0.4)
        hint = f" Did you mean {', '.join(near)}?" if near else " `jobferry status` lists them."
        return UnknownId(f"no run begins with {prefix!r}.{hint}")


def _record(run: RunId, row: Mapping[str, Any]) -> RunRecord:
    known(f"run {run}", row["schema"])
    return RunRecord(
        id=run,
        submission=submission_of(run),
        number=int(run.rpartition("-")[2]),
        owner=row["owner"],
        state=RunState(row["state"]),
        results=ResultsState(row["results"]),
        cluster=ClusterName(row["cluster"]),
        name=row["name"],
        staged=row["staged"] == "1",
        cancel=row["cancel"] == "1",
        tasks=int(row["tasks"]),
        jobs=int(row["jobs"]),
        counts={state: int(row[f"n:{state.value}"] or 0) for state in JobState},
        accepted=float(row["accepted"]),
        finished=float(row["finished"]) if row["finished"] else None,
        reason=row["reason"] or "",
        taken_over=int(row["taken"]),
        resumes=RunId(row["resumes"]) if row["resumes"] else None,
        targets=tuple(map(ClusterName, filter(None, (row["targets"] or "").split(",")))),
        priority=int(row["priority"] or 0),
        held=row["held"] == "1",
        refused=row["refused"] or "",
    )
