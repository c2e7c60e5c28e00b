"""A handle follows a run: to its end, through outages, after the broker forgot it."""

from __future__ import annotations

import copy
import pickle
import time
from typing import TYPE_CHECKING, Any

import pytest

from jobferry import Submission
from jobferry.client import Client
from jobferry_common.errors import BrokerUnreachable, UnknownId, WorkFailed
from jobferry_common.messages import mark_alive, queue_key, queue_of, waiting, worker_key
from jobferry_common.settings import Settings
from jobferry_common.states import JobState, ResultsState, RunState
from tests.common.ledger.documents import ALPHA, document
from tests.producer.stage import Stage
from tests.testbed.broker import Broker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jobferry.handle import Handle

    Beside = Callable[[Callable[[], object]], None]


def accepted(client: Client, **fields: Any) -> Handle:
    """Return the handle of a new run of three jobs."""
    return client.handle(client.accept(document(**fields)).run)


def test_a_handle_waits_until_the_results_are_here(
    client: Client, stage: Stage, beside: Beside
) -> None:
    handle = accepted(client)
    beside(lambda: stage.finish(handle.id))
    record = handle.wait(60)
    assert record.state is RunState.FINISHED
    assert record.results is ResultsState.DELIVERED
    assert handle.result().finished == 3


def test_a_handle_is_copied_and_sent_to_other_processes(
    client: Client,
) -> None:
    handle = accepted(client)
    submission = Submission("work")
    submission.handle = handle
    twin = copy.deepcopy(submission).handle
    assert twin is not None
    assert (twin.id, twin.client) == (handle.id, client)
    far = pickle.loads(pickle.dumps(submission)).handle
    assert far.status() == handle.status()
    far.client.close()


def test_waiting_ends_at_its_time(client: Client) -> None:
    handle = accepted(client)
    with pytest.raises(TimeoutError, match=handle.id):
        handle.wait(0.2)


def test_a_run_that_ended_without_its_results_is_waited_for(client: Client, stage: Stage) -> None:
    handle = accepted(client)
    stage.run_job(handle.id, 0)
    stage.ledger.change_run(handle.id, state=RunState.CANCELLED)
    with pytest.raises(TimeoutError):
        handle.wait(0.2)


def test_events_come_from_the_first_to_the_last(
    client: Client, stage: Stage, beside: Beside
) -> None:
    handle = accepted(client, tasks=1)
    beside(lambda: stage.finish(handle.id))
    events = list(handle.events(timeout=60))
    states = [event.state for event in events if event.kind == "job"]
    assert states == ["submitting", "running", "exited", "finished"]
    assert events[0].state == "accepted"
    assert events[-1].results is ResultsState.DELIVERED


def test_events_can_be_read_on_from_a_cursor(client: Client, stage: Stage) -> None:
    handle = accepted(client)
    stage.finish(handle.id)
    events = list(handle.events())
    assert list(handle.events(after=events[2].cursor)) == events[3:]


def test_cancelling_is_a_wish_and_a_hint(client: Client) -> None:
    handle = accepted(client)
    client.redis.delete(queue_key(client.settings, queue_of(ALPHA)))
    mark_alive(client.redis, worker_key(client.settings, queue_of(ALPHA)), "login1:77")
    assert handle.cancel()
    assert handle.status().cancel
    assert client.ledger.cancel_wishes(ALPHA) == [handle.id]
    assert waiting(client.redis, client.settings, queue_of(ALPHA)) == 1


def test_a_run_that_no_worker_took_up_ends_at_once(client: Client) -> None:
    handle = accepted(client)
    assert handle.cancel()
    assert handle.status().state is RunState.CANCELLED
    assert "no worker" in handle.status().reason


def test_a_run_that_ended_cannot_be_cancelled(client: Client, stage: Stage) -> None:
    handle = accepted(client)
    stage.finish(handle.id)
    assert not handle.cancel()


def test_a_failed_run_says_what_failed(client: Client, stage: Stage, tmp_path: Path) -> None:
    handle = accepted(client, source=str(tmp_path))
    (tmp_path / "task.1").mkdir()
    (tmp_path / "task.1" / "err").write_text("first line\nno minimum found\n\n")
    stage.fail(handle.id, 1, code=3)
    with pytest.raises(WorkFailed) as caught:
        handle.result()
    text = str(caught.value)
    assert f"run {handle.id} failed: job 1 failed" in text
    assert "task 1 in task.1: exit code 3: ./sim 1" in text
    assert "    no minimum found" in text
    assert f"jobferry retry {handle.id}" in text


def test_the_result_of_a_failed_run_can_be_looked_at(client: Client, stage: Stage) -> None:
    handle = accepted(client)
    stage.run_job(handle.id, 0)
    stage.fail(handle.id, 2, code=137)
    result = handle.result(checked=False)
    assert not result.ok
    assert result.finished == 1
    [failure] = result.failures
    assert (failure.job, failure.task, failure.code) == (2, 2, 137)
    assert result.run.counts[JobState.PENDING] == 1


def test_a_run_that_the_broker_forgot_is_presented_again(client: Client, stage: Stage) -> None:
    handle = accepted(client)
    client.redis.flushall()
    assert handle.status().state is RunState.ACCEPTED
    assert client.ledger.header(handle.id).source == "/home/alice/1"
    stage.finish(handle.id)
    assert handle.wait(60).state is RunState.FINISHED


def test_a_waiter_presents_what_the_broker_forgot(
    client: Client, stage: Stage, beside: Beside
) -> None:
    handle = accepted(client)

    def forget_then_finish() -> None:
        time.sleep(0.3)
        client.redis.flushall()
        while not client.ledger.runs():
            time.sleep(0.05)
        stage.finish(client.ledger.runs()[0].id)

    beside(forget_then_finish)
    assert handle.wait(60).state is RunState.FINISHED


def test_a_run_that_ended_is_never_presented_again(client: Client, stage: Stage) -> None:
    handle = accepted(client)
    stage.finish(handle.id)
    handle.wait(60)
    client.ledger.forget(handle.id)
    with pytest.raises(UnknownId):
        handle.status()
    assert client.ledger.runs() == []


def test_a_run_that_somebody_cleaned_is_never_presented_again(client: Client, stage: Stage) -> None:
    handle = accepted(client)
    stage.finish(handle.id)
    client.ledger.forget(handle.id)
    with pytest.raises(UnknownId, match="cleaned"):
        handle.status()
    assert client.ledger.runs() == []


def test_a_run_without_a_kept_document_stays_unknown(client: Client) -> None:
    handle = accepted(client)
    client.kept.forget(handle.id)
    client.redis.flushall()
    with pytest.raises(UnknownId, match="no copy"):
        handle.status()


def test_waiting_survives_a_restart_of_the_broker(short_path: Path, beside: Beside) -> None:
    with Broker(short_path) as broker, Client(Settings(broker=broker.url)) as client:
        handle = accepted(client)

        def restart_then_finish() -> None:
            time.sleep(0.2)
            broker.kill()
            time.sleep(0.5)
            broker.start()
            with Client(Settings(broker=broker.url)) as other:
                Stage(other.ledger).finish(handle.id)

        beside(restart_then_finish)
        assert handle.wait(60).state is RunState.FINISHED


def test_waiting_gives_up_at_its_time_while_the_broker_is_away(short_path: Path) -> None:
    with Broker(short_path) as broker, Client(Settings(broker=broker.url)) as client:
        handle = accepted(client)
        broker.stop()
        with pytest.raises(BrokerUnreachable, match="does not answer"):
            handle.wait(1)
        with pytest.raises(BrokerUnreachable):
            handle.status()
