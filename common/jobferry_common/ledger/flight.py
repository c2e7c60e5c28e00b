"""Work that may go, and work that is out: due lists, intents, tokens, jobs in flight.

for run, jobs in ledger.due("hpc1", now=now, runs=20, per_run=200): ...
ledger.reserve(run, "hpc1", token, attempts, fence=fence, now=now, single=False)
ledger.flight("hpc1")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobferry_common.ledger.durability import DurabilityPart
from jobferry_common.ledger.jobs import JobsPart
from jobferry_common.ledger.records import Fence, JobInFlight, JobRecord
from jobferry_common.ledger.store import fence_arguments
from jobferry_common.names import AttemptKey, JobKey, RunId, Token

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobferry_common.ledger.store import Command
    from jobferry_common.names import ClusterName


class FlightPart(JobsPart, DurabilityPart):
    """Due work and work in flight, per cluster."""

    def due(
        self, cluster: ClusterName, *, now: float, runs: int = 20, per_run: int = 200
    ) -> list[tuple[RunId, list[tuple[int, JobRecord]]]]:
        """Return pending jobs that may be submitted now, of runs that are staged or not.

        Owners come in turn, then the runs of each in turn; who was served last (`reserve`) comes last. A run
        that is not staged, or is to be cancelled, loses its turn when it is returned.
        """
        answers = self.call("due", cluster, now, runs, per_run)
        return [(RunId(run), _pending(rest, now)) for run, *rest in answers]

    def next_due(self, cluster: ClusterName) -> float | None:
        """Return when work is due next: 0 if there is some now, None if there is none at all."""
        ready, later = self.batch(
            [
                ("EXISTS", self.key("owners", cluster)),
                ("ZRANGE", self.key("later", cluster), 0, 0, "WITHSCORES"),
            ]
        )
        if ready:
            return 0.0
        return _score(later)

    def reserve(  # noqa: PLR0913 - an intent is all of this
        self,
        run: RunId,
        cluster: ClusterName,
        token: Token,
        attempts: Sequence[AttemptKey],
        *,
        fence: Fence,
        now: float,
        single: bool,
        settle: bool = True,
    ) -> bool:
        """Write the intent to submit: these jobs become `submitting` under a token, all or none.

        Args:
            run: whose jobs; it becomes active.
            cluster: where they go.
            token: the mark of the submit command.
            attempts: the frozen list, in the order of the array's indices.
            fence: the account's lease.
            now: Unix time.
            single: True for a job that is no array.
            settle: wait until the server's disk or replicas have it.

        Returns:
            False if one of them is not pending at this attempt, or the run ended or is to be cancelled.

        Raises:
            LeaseLost: the fence is stale; nothing was written.
            UnknownId: the ledger does not hold the run.
        """
        parts = [part for attempt in attempts for part in attempt]
        head = (run, *fence_arguments(fence), cluster, token, int(single), f"{now:.2f}")
        done = bool(self.call("reserve", *head, *parts))
        if done and settle:
            self.settle()
        return done

    def flight(self, cluster: ClusterName) -> list[JobInFlight]:
        """Return all jobs that the cluster's scheduler has or may have, by run and job."""
        names, lists = self.batch(
            [
                ("SMEMBERS", self.key("flight", cluster)),
                ("HGETALL", self.key("tokens", cluster)),
            ]
        )
        keys = sorted(_job_key(name) for name in names)
        indices = _indices(lists)
        records = zip(keys, self._records_of(keys), strict=True)
        return [
            JobInFlight(key=key, record=record, index=indices.get((key, record.attempt)))
            for key, record in records
            if record is not None and record.state.is_in_flight
        ]

    def frozen(self, token: Token, cluster: ClusterName) -> list[AttemptKey]:
        """Return the frozen list of a token, in the order of the array's indices; [] if it is unknown."""
        text = self.ask("HGET", self.key("tokens", cluster), token)
        return _frozen(text)[2] if text else []

    def tokens(self, cluster: ClusterName) -> dict[Token, tuple[RunId, list[AttemptKey]]]:
        """Return the frozen lists of all tokens that still have a job in flight."""
        found: Mapping[str, str] = self.ask("HGETALL", self.key("tokens", cluster))
        lists = {Token(token): _frozen(text) for token, text in found.items()}
        return {token: (run, attempts) for token, (run, _, attempts) in lists.items()}

    def forget_token(self, token: Token, cluster: ClusterName) -> None:
        """Drop a token before its last job has left the flight; that one drops it otherwise."""
        keys = (self.key("tokens", cluster), self.key("left", cluster))
        self.batch([("HDEL", key, token) for key in keys])

    def _records_of(self, keys: Sequence[JobKey]) -> list[JobRecord | None]:
        """Return the records of jobs that are sorted by run."""
        by_run: dict[RunId, list[int]] = {}
        for key in keys:
            by_run.setdefault(key.run, []).append(key.job)
        commands: list[Command] = [
            ("HMGET", self.key("run", run, "jobs"), *jobs) for run, jobs in by_run.items()
        ]
        answers = self.batch(commands)
        return [JobRecord.unpack(text) if text else None for answer in answers for text in answer]


def _pending(flat: Sequence[str], now: float) -> list[tuple[int, JobRecord]]:
    pairs = zip(flat[::2], flat[1::2], strict=True)
    unborn = JobRecord(since=now)
    return [(int(job), JobRecord.unpack(text) if text else unborn) for job, text in pairs]


def _job_key(name: str) -> JobKey:
    run, _, job = name.rpartition("/")
    return JobKey(RunId(run), int(job))


def _frozen(text: str) -> tuple[RunId, bool, list[AttemptKey]]:
    """Read `run|fence|single|job.attempt,…`."""
    run, _, single, names = text.split("|", 3)
    pairs = (name.partition(".") for name in names.split(","))
    return RunId(run), single == "1", [AttemptKey(int(job), int(tried)) for job, _, tried in pairs]


def _indices(lists: Mapping[str, str]) -> dict[tuple[JobKey, int], int]:
    found: dict[tuple[JobKey, int], int] = {}
    for text in lists.values():
        run, single, attempts = _frozen(text)
        if not single:
            pairs = enumerate(attempts)
            found |= {(JobKey(run, key.job), key.attempt): index for index, key in pairs}
    return found


def _score(rows: Sequence[str] | Sequence[Sequence[str]]) -> float | None:
    """Return the score of `ZRANGE … WITHSCORES`, whose answer differs between protocols."""
    if not rows:
        return None
    first = rows[0]
    return float(rows[1] if isinstance(first, str) else first[1])  # type: ignore[arg-type]
