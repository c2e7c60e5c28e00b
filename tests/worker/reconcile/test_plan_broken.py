"""Jobs of a run whose document nobody can read: cancelled, and failed once the scheduler has let go of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.names import SchedulerId
from jobferry_common.schedulers.base import Phase
from jobferry_common.states import JobState, Outcome
from jobferry_worker.reconcile.actions import CancelJobs, ChangeJobs
from jobferry_worker.reconcile.plan import plan
from jobferry_worker.reconcile.snapshot import Patience
from tests.worker.reconcile.snapshots import EMPTY, NOW, RUN, flying, says, seen

if TYPE_CHECKING:
    from jobferry_common.ledger.records import JobInFlight, JobRecord
    from jobferry_worker.reconcile.snapshot import Snapshot

_S = JobState
PATIENCE = Patience(settle=10.0, grace=20.0)


def broken(job: JobInFlight, **fields: Any) -> Snapshot:
    return seen(job, runs={}, broken={RUN: "no document"}, patience=PATIENCE, **fields)


def cancelled(s: Snapshot) -> list[SchedulerId]:
    return [id_ for action in plan(s) if isinstance(action, CancelJobs) for _, id_ in action.jobs]


def changed(s: Snapshot) -> list[JobRecord]:
    return [
        c.record for action in plan(s) if isinstance(action, ChangeJobs) for c in action.changes
    ]


def test_what_ended_fails() -> None:
    s = broken(flying(_S.EXITED, outcome=Outcome.LOST))
    assert [record.state for record in changed(s)] == [_S.FAILED]
    assert cancelled(s) == []


def test_what_ended_well_is_finished() -> None:
    s = broken(flying(_S.EXITED, outcome=Outcome.SUCCEEDED))
    assert [record.state for record in changed(s)] == [_S.FINISHED]


@pytest.mark.parametrize("phase", [Phase.QUEUED, Phase.RUNNING])
def test_what_the_scheduler_has_is_cancelled_however_long_that_takes(phase: Phase) -> None:
    s = broken(flying(_S.RUNNING, since=NOW - 1000), look=says(phase))
    assert (cancelled(s), changed(s)) == ([SchedulerId("7_0")], [])


def test_without_an_answer_it_is_cancelled_and_not_given_up() -> None:
    s = broken(flying(_S.RUNNING, since=NOW - 1000))
    assert (cancelled(s), changed(s)) == ([SchedulerId("7_0")], [])


def test_what_may_show_yet_is_waited_for() -> None:
    s = broken(flying(_S.RUNNING, since=NOW - 30), look=EMPTY)
    assert (cancelled(s), changed(s)) == ([SchedulerId("7_0")], [])


@pytest.mark.parametrize("look", [EMPTY, says(Phase.ENDED, Outcome.SUCCEEDED)])
def test_what_is_gone_or_ended_fails_with_that_reason(look: Any) -> None:
    s = broken(flying(_S.RUNNING, since=NOW - 31), look=look)
    states = [(record.state, record.outcome) for record in changed(s)]
    assert states == [(_S.EXITED, Outcome.LOST), (_S.FAILED, Outcome.LOST)]
    assert changed(s)[-1].reason == "no document"


def test_a_submit_that_was_found_is_cancelled_by_the_id_that_was_found() -> None:
    job = flying(_S.SUBMITTING, since=NOW - 1000)
    found = {job.key: SchedulerId("7_0")}
    assert cancelled(broken(job, look=says(), found=found)) == ["7_0"]
    assert cancelled(broken(job, look=says())) == []
