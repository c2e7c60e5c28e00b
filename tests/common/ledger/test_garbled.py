"""A value that cannot be read hides no other, and is told of once."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from jobferry_common.errors import UnknownId
from jobferry_common.events import EventStream
from jobferry_common.ledger import garbled
from jobferry_common.names import RunId, Token
from jobferry_common.states import JobState
from tests.common.ledger.documents import ALPHA, document, move, reserve

if TYPE_CHECKING:
    from redis import Redis

    from jobferry_common.ledger import Ledger


@pytest.fixture(autouse=True)
def _nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbled, "_told", set())


@pytest.fixture
def run(ledger: Ledger) -> RunId:
    run = ledger.accept(document(tasks=4)).run
    ledger.change_run(run, staged=True)
    return run


def spoil_token(redis: Redis, token: str, text: str = "nonsense") -> None:
    assert redis.hexists(f"jobferry:tokens:{ALPHA}", token)
    redis.hset(f"jobferry:tokens:{ALPHA}", token, text)


def flight(ledger: Ledger) -> list[tuple[int, str, int | None]]:
    return [(job.key.job, job.record.token, job.index) for job in ledger.flight(ALPHA)]


def test_a_name_in_the_flight_that_is_none_hides_no_other(
    ledger: Ledger, redis: Redis, run: RunId, caplog: pytest.LogCaptureFixture
) -> None:
    reserve(ledger, run, [0, 1])
    redis.sadd(f"jobferry:flight:{ALPHA}", "no job", f"{run}/x")
    with caplog.at_level(logging.WARNING):
        assert [job for job, _, _ in flight(ledger)] == [0, 1]
        ledger.flight(ALPHA)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert all(f"jobferry:flight:{ALPHA}" in message for message in told)


def test_a_record_that_is_none_hides_no_other(ledger: Ledger, redis: Redis, run: RunId) -> None:
    reserve(ledger, run, [0, 1])
    redis.hset(f"jobferry:run:{run}:jobs", "0", "what")
    assert [job for job, _, _ in flight(ledger)] == [1]


def test_a_record_of_a_due_job_that_is_none_hides_no_other(
    ledger: Ledger, redis: Redis, run: RunId
) -> None:
    redis.hset(f"jobferry:run:{run}:jobs", "0", "what")
    redis.zadd(f"jobferry:run:{run}:due", {"0": 1.0})
    due = ledger.due(ALPHA, now=1e12)
    assert [(one, [job for job, _ in jobs]) for one, jobs in due] == [(run, [1, 2, 3])]


@pytest.mark.parametrize("field", ["turn", "priority", "fresh", "jobs", "n:pending"])
def test_a_number_of_a_run_that_is_none_hides_no_other_run(
    ledger: Ledger, redis: Redis, run: RunId, field: str
) -> None:
    other = ledger.accept(document(2, tasks=2)).run
    ledger.change_run(other, staged=True)
    redis.hset(f"jobferry:run:{run}", field, "what")
    for _ in range(2):
        due = dict(ledger.due(ALPHA, now=1e12))
        assert [job for job, _ in due[other]] == [0, 1]
    assert reserve(ledger, other, [0, 1])


def test_a_list_that_cannot_be_read_is_known_by_the_jobs_that_bear_its_mark(
    ledger: Ledger, redis: Redis, run: RunId
) -> None:
    reserve(ledger, run, [1, 3])
    reserve(ledger, run, [2], single=True)
    before = flight(ledger)
    for token in ledger.tokens(ALPHA):
        spoil_token(redis, token)
    assert flight(ledger) == before
    assert [index for _, _, index in before] == [0, None, 1]


def test_a_job_whose_place_in_an_array_is_lost_is_not_taken_for_the_array(
    ledger: Ledger, redis: Redis, run: RunId
) -> None:
    reserve(ledger, run, [0, 1, 2])
    (token,) = ledger.tokens(ALPHA)
    move(ledger, run, 1, JobState.EXITED, JobState.CANCELLED)
    move(ledger, run, 2, JobState.RUNNING)
    redis.hset(f"jobferry:run:{run}:jobs", "2", record_with_id(ledger, run, 2, "4711_2"))
    spoil_token(redis, token)
    # job 0 waits for its submit: only its claim can tell; job 2 is looked up by its own id
    assert flight(ledger) == [(0, "", None), (2, token, None)]


def record_with_id(ledger: Ledger, run: RunId, job: int, id_: str) -> str:
    parts = ledger.job(run, job).pack().split("|")
    parts[4] = id_
    return "|".join(parts)


def test_a_token_that_cannot_be_read_hides_no_other(
    ledger: Ledger, redis: Redis, run: RunId
) -> None:
    reserve(ledger, run, [0])
    (first,) = ledger.tokens(ALPHA)
    reserve(ledger, run, [1])
    spoil_token(redis, first, f"{run}|1|0|zero.one")
    assert [token for token in ledger.tokens(ALPHA) if token != first] == list(ledger.tokens(ALPHA))
    assert len(ledger.tokens(ALPHA)) == 1
    assert ledger.frozen(Token(first), ALPHA) == []


def test_a_run_that_cannot_be_read_hides_no_other(
    ledger: Ledger, redis: Redis, run: RunId, caplog: pytest.LogCaptureFixture
) -> None:
    other = ledger.accept(document(2)).run
    redis.hset(f"jobferry:run:{run}", "tasks", "many")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert [record.id for record in ledger.runs()] == [other]
    assert [f"jobferry:run:{run}" in one.getMessage() for one in caplog.records] == [True]
    for ask in (ledger.run, ledger.was_removed):
        with pytest.raises(UnknownId, match=f"record of run {run} .* cannot be read"):
            ask(run)


def test_events_that_cannot_be_read_are_passed_over(
    ledger: Ledger, redis: Redis, run: RunId
) -> None:
    stream = EventStream(ledger)
    key = f"jobferry:run:{run}:events"
    known = stream.read(run, "0", timedelta(0))
    for kind, text in (("j", "no JSON"), ("r", "[1]"), ("j", json.dumps([1.0, [[0, 99, 1], 7]]))):
        redis.xadd(key, {kind: text})
    assert stream.read(run, known[-1].cursor, timedelta(seconds=0.2)) == []
    redis.xadd(key, {"j": json.dumps([2.0, [[0, 1, 1], ["x"], [1, 1, 1], "y"]])})
    found = stream.read(run, known[-1].cursor, timedelta(seconds=5))
    assert [event.job for event in found] == [0, 1]
    assert stream.read(run, found[0].cursor, timedelta(0)) == found[1:]
    assert stream.read(run, found[1].cursor, timedelta(0)) == []
    reserve(ledger, run, [2])
    after = stream.read(run, found[1].cursor, timedelta(seconds=5))
    assert ("job", 2) in [(event.kind, event.job) for event in after]


def test_more_garbled_events_than_are_read_at_once_hide_nothing(
    ledger: Ledger, redis: Redis, run: RunId
) -> None:
    end = EventStream(ledger).end(run)
    for _ in range(501):
        redis.xadd(f"jobferry:run:{run}:events", {"r": "?"})
    reserve(ledger, run, [0])
    found = EventStream(ledger).read(run, end, timedelta(0))
    assert [event.kind for event in found] == ["run", "job"]
