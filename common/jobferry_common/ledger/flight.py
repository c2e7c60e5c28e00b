"""Work that may go, and work that is out: due lists, intents, tokens, jobs in flight.

for run, jobs in ledger.due("hpc1", now=now, runs=20, per_run=200): ...
ledger.reserve(run, "hpc1", token, attempts, fence=fence, now=now, single=False)
ledger.flight("hpc1")
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from jobferry_common.ledger.durability import DurabilityPart
from jobferry_common.ledger.garbled import passed_over
from jobferry_common.ledger.jobs import JobsPart
from jobferry_common.ledger.records import Fence, JobInFlight, JobRecord
from jobferry_common.ledger.store import fence_arguments
from jobferry_common.names import AttemptKey, JobKey, RunId, Token, token_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from jobferry_common.ledger.store import Command
    from jobferry_common.names import ClusterName


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frozen:
    """What one submit command was to submit."""

    run: RunId
    single: bool  #: no array
    attempts: list[AttemptKey]  #: in the order of the array's indices


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
        return [(RunId(run), self._pending(RunId(run), rest, now)) for run, *rest in answers]

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
        claims: Sequence[int] = (),
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
            claims: of a run that several clusters share: by which claim this one has each of them.

        Returns:
            False if one is not pending at this attempt, or not claimed so, or the run ended, is held or cancelled.

        Raises:
            LeaseLost: the fence is stale; nothing was written.
            UnknownId: the ledger does not hold the run.
        """
        held = claims or [0] * len(attempts)
        parts = [p for pair in zip(attempts, held, strict=True) for p in (*pair[0], pair[1])]
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
        keys = self._job_keys(cluster, names)
        records = {
            key: record
            for key, record in zip(keys, self._records_of(keys), strict=True)
            if record is not None and record.state.is_in_flight
        }
        frozen = self._frozen_lists(cluster, lists)
        unread = lists.keys() - frozen.keys()
        indices = _indices(frozen) | (_indices(_found_again(records, unread)) if unread else {})
        return [_in_flight(key, record, indices, unread) for key, record in records.items()]

    def frozen(self, token: Token, cluster: ClusterName) -> list[AttemptKey]:
        """Return the frozen list of a token, in the order of the array's indices; [] if it is unknown."""
        text = self.ask("HGET", self.key("tokens", cluster), token)
        found = self._frozen_lists(cluster, {token: text} if text else {})
        return found[token].attempts if token in found else []

    def tokens(self, cluster: ClusterName) -> dict[Token, tuple[RunId, list[AttemptKey]]]:
        """Return the frozen lists of all tokens that still have a job in flight."""
        found: Mapping[str, str] = self.ask("HGETALL", self.key("tokens", cluster))
        lists = self._frozen_lists(cluster, found)
        return {token: (frozen.run, frozen.attempts) for token, frozen in lists.items()}

    def _records_of(self, keys: Sequence[JobKey]) -> list[JobRecord | None]:
        """Return the records of jobs that are sorted by run."""
        by_run: dict[RunId, list[int]] = {}
        for key in keys:
            by_run.setdefault(key.run, []).append(key.job)
        commands: list[Command] = [
            ("HMGET", self.key("run", run, "jobs"), *jobs) for run, jobs in by_run.items()
        ]
        answers = self.batch(commands)
        texts = (text for answer in answers for text in answer)
        return [self._record_of(key, text) for key, text in zip(keys, texts, strict=True)]

    def _record_of(self, key: JobKey, text: str | None) -> JobRecord | None:
        if text:
            with passed_over(self.key("run", key.run, "jobs"), key.job):
                return JobRecord.unpack(text)
        return None

    def _job_keys(self, cluster: ClusterName, names: Iterable[str]) -> list[JobKey]:
        keys: list[JobKey] = []
        for name in names:
            with passed_over(self.key("flight", cluster), name):
                keys.append(_job_key(name))
        return sorted(keys)

    def _frozen_lists(self, cluster: ClusterName, lists: Mapping[str, str]) -> dict[Token, _Frozen]:
        found: dict[Token, _Frozen] = {}
        for token, text in lists.items():
            with passed_over(self.key("tokens", cluster), token):
                found[Token(token)] = _frozen(text)
        return found

    def _pending(self, run: RunId, flat: Sequence[str], now: float) -> list[tuple[int, JobRecord]]:
        unborn = JobRecord(since=now)
        pairs = zip(map(int, flat[::2]), flat[1::2], strict=True)
        found = [
            (job, self._record_of(JobKey(run, job), text) if text else unborn)
            for job, text in pairs
        ]
        return [(job, record) for job, record in found if record is not None]


def _job_key(name: str) -> JobKey:
    run, _, job = name.rpartition("/")
    return JobKey(RunId(run), int(job))


def _frozen(text: str) -> _Frozen:
    """Read `run|fence|single|job.attempt,…`."""
    run, _, single, names = text.split("|", 3)
    pairs = (name.partition(".") for name in names.split(","))
    attempts = [AttemptKey(int(job), int(tried)) for job, _, tried in pairs]
    return _Frozen(run=RunId(run), single=single == "1", attempts=attempts)


def _found_again(
    records: Mapping[JobKey, JobRecord], unread: Collection[str]
) -> dict[Token, _Frozen]:
    """Return the lists of tokens whose own entry cannot be read: the jobs that bear one, if it is just their mark."""
    bearers: dict[tuple[Token, RunId], list[AttemptKey]] = {}
    for key, record in sorted(records.items()):
        if record.token in unread:
            attempt = AttemptKey(key.job, record.attempt)
            bearers.setdefault((record.token, key.run), []).append(attempt)
    return {
        token: _Frozen(run=run, single=len(attempts) == 1, attempts=attempts)
        for (token, run), attempts in bearers.items()
        if token_of(run, attempts) == token
    }


def _indices(lists: Mapping[Token, _Frozen]) -> dict[tuple[JobKey, int], int | None]:
    """Return the places of attempts in their lists; None for a job that is no array."""
    return {
        (JobKey(frozen.run, attempt.job), attempt.attempt): None if frozen.single else place
        for frozen in lists.values()
        for place, attempt in enumerate(frozen.attempts)
    }


def _in_flight(
    key: JobKey,
    record: JobRecord,
    indices: Mapping[tuple[JobKey, int], int | None],
    unread: Collection[str],
) -> JobInFlight:
    """Return a job in flight. Without its place in a list, the id of a whole array must not be taken for its own."""
    place = (key, record.attempt)
    if record.token in unread and place not in indices and not record.id:
        record = replace(
            record, token=Token("")
        )  # it is found by its claim, as if nobody knew the token
    return JobInFlight(key=key, record=record, index=indices.get(place))


def _score(rows: Sequence[str] | Sequence[Sequence[str]]) -> float | None:
    """Return the score of `ZRANGE … WITHSCORES`, whose answer differs between protocols."""
    if not rows:
        return None
    first = rows[0]
    return float(rows[1] if isinstance(first, str) else first[1])  # type: ignore[arg-type]
