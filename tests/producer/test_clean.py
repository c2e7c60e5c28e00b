"""Cleaning a run: nothing goes before its results are here, files go before the records."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from jobferry.clean import clean
from jobferry_common.errors import Conflict, NoWorker, UnknownId
from jobferry_common.messages import (
    CLEAN,
    data_queue_of,
    hindered_key,
    mark_alive,
    queue_key,
    queue_of,
    worker_key,
)
from jobferry_common.states import ResultsState, RunState
from tests.common.ledger.documents import ALPHA, document
from tests.testbed.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobferry.client import Client
    from jobferry.handle import Handle
    from tests.producer.stage import Stage

    Beside = Callable[[Callable[[], object]], None]


@pytest.fixture
def handle(client: Client) -> Handle:
    return client.handle(client.accept(document()).run)


def asked(client: Client) -> list[str]:
    """Return the messages about files that wait for the worker."""
    found = client.redis.lrange(queue_key(client.settings, data_queue_of(ALPHA)), 0, -1)
    return [str(message) for message in found]


def remove_files_when_asked(client: Client, handle: Handle) -> None:
    wait_until(lambda: asked(client), "the worker was asked")
    assert CLEAN in asked(client)[0]
    client.ledger.change_run(handle.id, results=ResultsState.CLEANED)


def test_files_go_first_then_all_that_is_known(
    client: Client, stage: Stage, handle: Handle, beside: Beside
) -> None:
    stage.finish(handle.id)
    beside(lambda: remove_files_when_asked(client, handle))
    handle.clean()
    with pytest.raises(UnknownId):
        client.ledger.run(handle.id)
    assert client.kept.load(handle.id) is None


def test_what_its_policy_cleaned_already_is_only_forgotten(
    client: Client, stage: Stage, handle: Handle
) -> None:
    stage.finish(handle.id)
    client.ledger.change_run(handle.id, results=ResultsState.CLEANED)
    handle.clean()
    assert asked(client) == []
    assert client.ledger.runs() == []


def test_a_run_in_flight_is_not_cleaned(client: Client, handle: Handle) -> None:
    with pytest.raises(Conflict, match="in flight"):
        handle.clean()
    assert client.ledger.run(handle.id).state is RunState.ACCEPTED


def test_results_that_were_not_fetched_are_not_cleaned(
    client: Client, stage: Stage, handle: Handle
) -> None:
    stage.run_job(handle.id, 0)
    client.ledger.change_run(handle.id, state=RunState.FAILED)
    with pytest.raises(Conflict, match="not fetched"):
        handle.clean()


def test_without_a_worker_nothing_is_forgotten(
    client: Client, stage: Stage, handle: Handle
) -> None:
    stage.finish(handle.id)
    with pytest.raises(NoWorker, match="--force"):
        clean(client, handle.id, patience=0.2)
    assert client.ledger.run(handle.id).state is RunState.FINISHED
    assert client.kept.load(handle.id) is not None


def test_what_hinders_the_worker_is_told_at_once(
    client: Client, stage: Stage, handle: Handle, beside: Beside
) -> None:
    key = hindered_key(client.settings, CLEAN, handle.id)
    client.redis.set(key, "what hindered an earlier try")

    def fail_when_asked() -> None:
        wait_until(lambda: asked(client), "the worker was asked")
        client.redis.set(key, "alice@far:22 cannot be reached: Connection refused")

    stage.finish(handle.id)
    beside(fail_when_asked)
    with pytest.raises(NoWorker, match=r"still on alpha.*Connection refused\. Clean again"):
        clean(client, handle.id, patience=3600)
    assert client.ledger.run(handle.id).state is RunState.FINISHED


def test_a_cluster_that_is_paused_is_named_with_its_reason(
    client: Client, stage: Stage, handle: Handle
) -> None:
    stage.finish(handle.id)
    client.ledger.set_cluster(ALPHA, paused="Connection refused")
    with pytest.raises(NoWorker, match=r"no worker of alpha \(paused: Connection refused\)"):
        clean(client, handle.id, patience=0.2)


def test_force_forgets_even_without_a_worker(
    client: Client, handle: Handle, caplog: pytest.LogCaptureFixture
) -> None:
    client.ledger.change_run(handle.id, state=RunState.FAILED)
    with caplog.at_level(logging.WARNING):
        clean(client, handle.id, force=True, patience=0.2)
    assert "forgotten" in caplog.text
    assert client.ledger.runs() == []


def test_force_ends_a_run_in_flight_first(client: Client, handle: Handle, beside: Beside) -> None:
    def end_when_wished() -> None:
        wait_until(lambda: client.ledger.cancel_wishes(ALPHA), "the end is wished")
        client.ledger.change_run(handle.id, state=RunState.CANCELLED)
        remove_files_when_asked(client, handle)

    mark_alive(client.redis, worker_key(client.settings, queue_of(ALPHA)), "login1:77")
    beside(end_when_wished)
    handle.clean(force=True)
    assert client.ledger.runs() == []


def test_force_frees_the_directories_of_a_run_whose_cluster_is_out_of_reach(
    client: Client, stage: Stage
) -> None:
    run = client.accept(document(1, source="/data")).run
    stage.run_job(run, 0)
    client.ledger.change_run(run, state=RunState.FAILED)
    with pytest.raises(Conflict, match=f"jobferry clean --force {run}"):
        client.accept(document(2, source="/data"))
    clean(client, run, force=True, patience=0.2)
    assert not client.accept(document(2, source="/data")).attached
