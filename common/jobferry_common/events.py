"""The event stream: what happened to runs, jobs and clusters, durable, and read again from any point.

    stream = EventStream(ledger)
    cursor = "0"                                   # from the beginning
    while not done:
        for event in stream.read(run, cursor, timedelta(seconds=5)):
            print(event.job, event.state)
            cursor = event.cursor

An entry of the stream packs all jobs of one change. Within it a cursor is `<entry>/<how many were read>`; behind
its last event it is `<entry>` alone.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import tenacity

from jobferry_common.errors import BadInput, BrokerUnreachable, Problem
from jobferry_common.ledger.codes import unpack_event
from jobferry_common.ledger.garbled import passed_over
from jobferry_common.ledger.specs import unknown_run
from jobferry_common.names import ClusterName, RunId
from jobferry_common.states import ResultsState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobferry_common.ledger import Ledger
    from jobferry_common.states import Outcome

_BATCH: Final = 500
#: a server ends a blocking read on its own well before the client gives its socket up
_SLICE: Final = timedelta(seconds=5)
_PATIENCE: Final = timedelta(minutes=5)
_LAST: Final = (1 << 64) - 1
_CURSOR: Final = re.compile(r"\d{1,19}(-\d{1,19})?(/\d{1,9})?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened."""

    kind: str  #: "run", "job" or "cluster"
    state: str  #: a `JobState`, a `RunState`, or "paused", "draining", "resumed" of a cluster
    at: float  #: Unix time
    cursor: str  #: read on from here
    run: RunId | None = None
    cluster: ClusterName | None = None
    job: int | None = None
    attempt: int | None = None
    outcome: Outcome | None = None
    code: int | None = None
    results: ResultsState | None = None  #: of a run
    reason: str = ""


class EventStream:
    """Reads events; a restart of the broker only makes it wait."""

    def __init__(self, ledger: Ledger, *, patience: timedelta = _PATIENCE) -> None:
        """Read from `ledger`; give up when its broker has not answered for `patience`."""
        self._ledger = ledger
        self._patience = patience

    def read(self, run: RunId | None, after: str, block: timedelta) -> list[Event]:
        """Return the events after a cursor; wait for the first one up to `block`.

        Args:
            run: whose events, its jobs' included; None for those of all runs and clusters.
            after: a cursor; "0" for the beginning, `end()` for what is to come.
            block: how long to wait while there are none; zero does not wait.

        Raises:
            BadInput: `after` is no cursor.
            UnknownId: the ledger does not hold the run (any more).
            BrokerUnreachable: the broker did not answer for the whole of our patience.
        """
        deadline = time.monotonic() + block.total_seconds()
        entry, seen = _split(after)
        known = _position(after)
        while True:
            left = timedelta(seconds=max(deadline - time.monotonic(), 0.0))
            start, wait = _before(entry) if seen else entry, min(left, _SLICE)
            rows = self._patiently(partial(self._once, run, start, wait))
            events = [event for row in rows for event in self._expand(run, row)]
            if seen:
                events = [event for event in events if _position(event.cursor) > known]
            if events or not (rows or left):
                self._check(run, events)
                return events
            if rows:  # what is known, or cannot be read: read on behind it
                entry, seen = str(rows[-1][0]), 0

    def end(self, run: RunId | None) -> str:
        """Return the cursor behind the last event there is now."""
        key = self._key(run)
        rows = self._patiently(lambda: self._ledger.ask("XREVRANGE", key, "+", "-", "COUNT", 1))
        return str(rows[0][0]) if rows else "0"

    def _patiently(self, ask: Callable[[], list[Any]]) -> list[Any]:
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(BrokerUnreachable),
            wait=tenacity.wait_exponential(multiplier=0.1, max=2.0),
            stop=tenacity.stop_after_delay(self._patience),
            reraise=True,
        )
        rows: list[Any] = retrying(ask)
        return rows

    def _key(self, run: RunId | None) -> str:
        return self._ledger.key("run", run, "events") if run else self._ledger.key("events")

    def _once(self, run: RunId | None, after: str, block: timedelta) -> list[Any]:
        wait = ("BLOCK", max(int(block.total_seconds() * 1000), 1)) if block else ()
        key = self._key(run)
        answer = self._ledger.ask("XREAD", "COUNT", _BATCH, *wait, "STREAMS", key, after)
        return _rows(answer)

    def _expand(self, run: RunId | None, row: Any) -> Iterator[Event]:  # noqa: ANN401
        """Yield the events of an entry; what cannot be read is passed over."""
        entry, fields = row
        key = self._key(run)
        for kind, text in fields.items():
            with passed_over(key, entry):
                yield from list(_events(run, entry, kind, json.loads(text), key))

    def _check(self, run: RunId | None, events: list[Event]) -> None:
        if run and not events and not self._ledger.ask("EXISTS", self._ledger.key("run", run)):
            raise unknown_run(run)


def _rows(answer: Any) -> list[Any]:  # noqa: ANN401 - its shape differs between protocols
    """Return the entries of the only stream that was asked."""
    if not answer:
        return []
    first = next(iter(answer.values()))[0] if isinstance(answer, dict) else answer[0][1]
    return list(first)


def _events(run: RunId | None, entry: str, kind: str, what: Any, key: str) -> Iterator[Event]:  # noqa: ANN401
    if kind != "j":
        yield _other_event(kind, entry, what)
        return
    at, items = what
    for number, item in enumerate(items, start=1):
        with passed_over(key, f"{entry}/{number}"):
            cursor = entry if number == len(items) else f"{entry}/{number}"
            yield _job_event(run, cursor, float(at), item)


def _job_event(run: RunId | None, cursor: str, at: float, item: Any) -> Event:  # noqa: ANN401
    job, state, attempt, outcome, code, reason = unpack_event(item)
    return Event(
        kind="job",
        state=state.value,
        at=at,
        cursor=cursor,
        run=run,
        job=job,
        attempt=attempt,
        outcome=outcome,
        code=code,
        reason=reason,
    )


def _other_event(kind: str, entry: str, fields: dict[str, Any]) -> Event:
    results = fields.get("results")
    run = fields.get("run")
    return Event(
        kind="run" if kind == "r" else "cluster",
        state=fields["state"],
        at=float(fields["at"]),
        cursor=entry,
        run=RunId(run) if run else None,
        cluster=ClusterName(fields["cluster"]),
        results=ResultsState(results) if results else None,
        reason=fields.get("reason", ""),
    )


def _split(cursor: str) -> tuple[str, int]:
    if not _CURSOR.fullmatch(cursor):
        what = (
            f"{cursor!r} is no cursor; expected one that an event carried, or 0 for the beginning"
        )
        raise BadInput([Problem("after", what)])
    entry, _, seen = cursor.partition("/")
    return entry, int(seen or 0)


def _position(cursor: str) -> tuple[int, int, int]:
    """Return what sorts cursors: the plain one of an entry is its end."""
    entry, seen = _split(cursor)
    head, _, tail = entry.partition("-")
    return int(head), int(tail or 0), seen or _LAST


def _before(entry: str) -> str:
    """Return the cursor just before an entry, so that reading after it gives the entry again."""
    head, _, tail = entry.partition("-")
    number = int(tail or 0)
    return f"{head}-{number - 1}" if number else f"{int(head) - 1}-{_LAST}"
