"""Retrying a run: a new one that leaves alone what finished."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobferry_common.errors import Conflict
from jobferry_common.states import JobState, RunState
from tests.common.ledger.documents import document

if TYPE_CHECKING:
    from jobferry.client import Client
    from tests.producer.stage import Stage


def test_a_failed_run_goes_on_with_what_is_unfinished(client: Client, stage: Stage) -> None:
    old = client.handle(client.accept(document(tasks=4)).run)
    stage.run_job(old.id, 0)
    stage.fail(old.id, 2)
    new = old.retry()
    assert new.id == old.id.replace("-1", "-2")
    assert new.taken_over == 1
    assert new.status().counts[JobState.FINISHED] == 1
    assert new.status().counts[JobState.PENDING] == 3


def test_a_cancelled_run_can_be_retried(client: Client, stage: Stage) -> None:
    old = client.handle(client.accept(document()).run)
    stage.deliver(old.id, RunState.CANCELLED)
    assert old.retry().id != old.id


def test_a_run_in_flight_is_not_retried(client: Client) -> None:
    handle = client.handle(client.accept(document()).run)
    with pytest.raises(Conflict, match="jobferry cancel"):
        handle.retry()


def test_a_finished_run_has_nothing_left_to_retry(client: Client, stage: Stage) -> None:
    handle = client.handle(client.accept(document()).run)
    stage.finish(handle.id)
    with pytest.raises(Conflict, match="nothing of it is left"):
        handle.retry()


def test_what_a_later_run_finished_is_not_done_again(client: Client, stage: Stage) -> None:
    old = client.handle(client.accept(document()).run)
    stage.fail(old.id)
    new = old.retry()
    stage.finish(new.id)
    with pytest.raises(Conflict, match=f"run {new.id} finished what run {old.id} left"):
        old.retry()


def test_a_retry_needs_no_kept_document(client: Client, stage: Stage) -> None:
    handle = client.handle(client.accept(document()).run)
    stage.fail(handle.id)
    client.kept.forget(handle.id)
    assert client.ledger.header(handle.retry().id) == document().header
