"""The event stream."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from jobferry_common.errors import BadInput, BrokerUnreachable, UnknownId
from jobferry_common.events import Event, EventStream
from jobferry_common.ledger import Ledger
from jobferry_common.names import RunId
from jobferry_common.states import JobState, Outcome, ResultsState, RunState
from tests.common.ledger.documents import ALPHA, change_to, document, reserve
from tests.testbed.broker import Broker

if TYPE_CHECKING:
    from pathlib import Path

AT_ONCE = timedelta()
LONG = timedelta(seconds=60)


def lived(ledger: Ledger) -> RunId:
    """Return a run of which a job failed and others are queued."""
    run = ledger.accept(document(tasks=4)).run
    reserve(ledger, run, range(4))
    ledger.change(run, [change_to(ledger, run, i, JobState.QUEUED) for i in range(4)], fence=None)
    failed = change_to(
        ledger, run, 2, JobState.EXITED, outcome=Outcome.FAILED, code=7, reason="no licence"
    )
    ledger.change(run, [failed], fence=None)
    return run


def replayed(ledger: Ledger, run: RunId | None = None) -> list[Event]:
    return EventStream(ledger).read(run, "0", AT_ONCE)


def test_everything_can_be_replayed_in_order(ledger: Ledger) -> None:
    run = lived(ledger)
    events = replayed(ledger, run)
    assert [(event.kind, event.job, event.state) for event in events] == [
        ("run", None, "accepted"),
        ("run", None, "active"),
        *[("job", job, "submitting") for job in range(4)],
        *[("job", job, "queued") for job in range(4)],
        ("job", 2, "exited"),
    ]
    last = events[-1]
    assert (last.run, last.attempt, last.outcome, last.code) == (run, 1, Outcome.FAILED, 7)
    assert (last.reason, last.at) == ("no licence", 20.0)


def test_reading_goes_on_behind_every_cursor(ledger: Ledger) -> None:
    run = lived(ledger)
    events = replayed(ledger, run)
    stream = EventStream(ledger)
    for number, event in enumerate(events, start=1):
        assert stream.read(run, event.cursor, AT_ONCE) == events[number:]
    assert stream.end(run) == events[-1].cursor


def test_many_entries_of_one_moment_are_read_in_order(ledger: Ledger) -> None:
    """A server whose clock was set back gives entry after entry the same time."""
    run = ledger.accept(document()).run
    key = ledger.key("run", run, "events")
    moment = int(EventStream(ledger).end(run).partition("-")[0]) + 1000
    for number in (9, 10, 11):
        ledger.ask("XADD", key, f"{moment}-{number}", "j", f"[1.0,[[{number},0,1],[0,0,1]]]")
    rest = EventStream(ledger).read(run, f"{moment}-9/1", AT_ONCE)
    assert [event.job for event in rest] == [0, 10, 0, 11, 0]


@pytest.mark.parametrize("cursor", ["", "x", "1-2-3", "1/x", "-1", "1-1/", "²", "0\n"])
def test_what_is_no_cursor_is_refused(ledger: Ledger, cursor: str) -> None:
    run = ledger.accept(document()).run
    with pytest.raises(BadInput, match="is no cursor"):
        EventStream(ledger).read(run, cursor, AT_ONCE)


def test_runs_and_clusters_have_a_stream_of_their_own(ledger: Ledger) -> None:
    run = lived(ledger)
    ledger.change_run(run, state=RunState.FAILED, reason="a job failed")
    ledger.change_run(run, results=ResultsState.DELIVERED)
    events = replayed(ledger)
    assert [(event.kind, event.run, event.state) for event in events] == [
        ("run", run, "accepted"),
        ("run", run, "active"),
        ("run", run, "failed"),
        ("run", run, "failed"),
    ]
    assert (events[-1].results, events[-1].cluster) == (ResultsState.DELIVERED, ALPHA)
    assert events[-1].reason == "a job failed"


def test_a_reader_that_waits_is_woken(ledger: Ledger, valkey: Broker) -> None:
    run = ledger.accept(document()).run
    stream = EventStream(Ledger(valkey.client()))
    cursor = stream.end(run)
    timer = threading.Timer(0.3, ledger.change_run, args=(run,), kwargs={"staged": True})
    timer.start()
    events = stream.read(run, cursor, LONG)
    timer.join()
    assert [event.kind for event in events] == ["run"]


def test_without_news_a_reader_returns_after_its_time(ledger: Ledger) -> None:
    run = ledger.accept(document()).run
    stream = EventStream(ledger)
    assert stream.read(run, stream.end(run), timedelta(milliseconds=20)) == []
    assert stream.end(None) != "0"


def test_a_run_that_is_not_there_is_no_silence(ledger: Ledger) -> None:
    with pytest.raises(UnknownId):
        EventStream(ledger).read(RunId("nothing-1"), "0", AT_ONCE)


def test_a_reader_survives_a_restart_of_the_broker(short_path: Path) -> None:
    with Broker(short_path / "b") as broker:
        ledger = Ledger(broker.client())
        run = ledger.accept(document()).run
        seen = EventStream(ledger).end(run)
        found: list[Event] = []

        def read() -> None:
            found.extend(EventStream(ledger, patience=LONG).read(run, seen, LONG))

        reader = threading.Thread(target=read)
        reader.start()
        time.sleep(0.2)
        broker.kill()
        time.sleep(0.5)
        broker.start()
        Ledger(broker.client()).change_run(run, state=RunState.CANCELLED)
        reader.join()
        assert [event.state for event in found] == ["cancelled"]
        ledger.redis.close()


def test_patience_ends(short_path: Path) -> None:
    with Broker(short_path / "b") as broker:
        ledger = Ledger(broker.client())
        run = ledger.accept(document()).run
        broker.kill()
        with pytest.raises(BrokerUnreachable):
            EventStream(ledger, patience=timedelta(milliseconds=100)).read(run, "0", LONG)
        ledger.redis.close()
