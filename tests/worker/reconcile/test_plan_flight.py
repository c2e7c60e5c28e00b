"""The rules for jobs in flight: what was seen, and what follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.names import SchedulerId
from jobferry_common.schedulers.base import Phase
from jobferry_common.scripts.records import WorkerClaim
from jobferry_common.states import JobState, Outcome
from jobferry_worker.reconcile.actions import CancelJobs, ChangeJobs, Forget, MakeClaims
from jobferry_worker.reconcile.plan import plan
from jobferry_worker.reconcile.snapshot import Look, Snapshot
from tests.worker.reconcile.snapshots import (
    EMPTY,
    NOW,
    RUN,
    attempt,
    exit_record,
    flying,
    says,
    seen,
    view,
)

if TYPE_CHECKING:
    from jobferry_common.ledger.records import JobRecord

_S = JobState
OURS = WorkerClaim("here:1")


def records(s: Snapshot) -> list[JobRecord]:
    """Return what the plan makes of jobs, step by step."""
    return [
        change.record
        for action in plan(s)
        if isinstance(action, ChangeJobs)
        for change in action.changes
    ]


def states(s: Snapshot) -> list[JobState]:
    return [record.state for record in records(s)]


def asks(s: Snapshot) -> bool:
    return plan(s) == (MakeClaims(tries=(attempt(),)),)


@pytest.mark.parametrize("state", [_S.SUBMITTING, _S.QUEUED, _S.RUNNING])
@pytest.mark.parametrize(
    ("code", "then", "outcome"),
    [(0, _S.FINISHED, Outcome.SUCCEEDED), (3, _S.PENDING, Outcome.FAILED)],
)
def test_a_final_record_ends_a_job_in_every_state(
    state: JobState, code: int, then: JobState, outcome: Outcome
) -> None:
    s = seen(flying(state), records={attempt(): exit_record(code)})
    exited, settled = records(s)
    assert (exited.state, exited.outcome, exited.code) == (_S.EXITED, outcome, code or None)
    assert exited.tries == 1
    assert settled.state is then


def test_a_retry_is_the_next_attempt_and_waits_longer_each_time() -> None:
    dues = []
    for tries in range(4):
        s = seen(flying(tries=tries), records={attempt(): exit_record(1)})
        (action,) = (found for found in plan(s) if isinstance(found, ChangeJobs))
        again = action.changes[-1]
        if tries < 3:
            assert (again.record.state, again.record.attempt) == (_S.PENDING, 2)
            assert (again.record.id, again.record.token, again.record.cluster) == ("", "", "")
            dues.append(again.due - NOW)
        else:
            assert again.record.state is _S.FAILED
    assert dues == [5.0, 10.0, 20.0]


@pytest.mark.parametrize("state", [_S.SUBMITTING, _S.QUEUED, _S.RUNNING])
def test_without_an_answer_nothing_changes(state: JobState) -> None:
    assert plan(seen(flying(state), look=None, missing={flying().key: 0.0})) == ()


def test_a_word_that_nobody_knows_changes_nothing() -> None:
    """A defect of DPDispatcher: one unknown status word aborts the submission."""
    look = Look(jobs={}, unreadable=frozenset({SchedulerId("7_0")}))
    assert plan(seen(flying(), look=look, missing={flying().key: 0.0})) == ()


def test_a_token_in_the_listing_adopts_the_job() -> None:
    s = seen(flying(_S.SUBMITTING, since=NOW), look=EMPTY, found={flying().key: SchedulerId("9_0")})
    (adopted,) = records(s)
    assert (adopted.state, adopted.id, adopted.attempt) == (_S.QUEUED, "9_0", 1)


@pytest.mark.parametrize("phase", list(Phase))
def test_a_token_whose_attempt_was_taken_back_is_not_adopted(phase: Phase) -> None:
    """Its submit came through when everybody had given it up: the job there finds the claim, and runs nothing."""
    look = says(phase=phase, outcome=Outcome.SUCCEEDED if phase is Phase.ENDED else None)
    found = {flying().key: SchedulerId("9_0")}
    taken = {"found": found, "taken_back": {attempt()}}
    assert asks(seen(flying(_S.SUBMITTING), look=look, **taken))
    (again,) = records(seen(flying(_S.SUBMITTING), look=look, claims={attempt(): OURS}, **taken))
    assert (again.state, again.attempt, again.tries) == (_S.PENDING, 2, 0)


@pytest.mark.parametrize("state", [_S.QUEUED, _S.RUNNING])
@pytest.mark.parametrize("ended", [True, False])
def test_a_job_that_is_gone_and_whose_attempt_was_taken_back_is_tried_again_at_once(
    state: JobState, *, ended: bool
) -> None:
    look = says(phase=Phase.ENDED, outcome=Outcome.SUCCEEDED) if ended else EMPTY
    exited, again = records(seen(flying(state), look=look, taken_back={attempt()}))
    assert (exited.state, exited.outcome, again.state) == (_S.EXITED, Outcome.LOST, _S.PENDING)
    assert "taken back" in exited.reason


def test_an_unanswered_submit_is_left_alone_until_its_command_has_ended() -> None:
    assert plan(seen(flying(_S.SUBMITTING, since=NOW - 64), look=EMPTY)) == ()
    assert asks(seen(flying(_S.SUBMITTING, since=NOW - 66), look=EMPTY))


def test_a_submit_is_repeated_as_another_attempt_once_the_claim_is_ours() -> None:
    s = seen(flying(_S.SUBMITTING, tries=1), look=EMPTY, claims={attempt(): OURS})
    (again,) = records(s)
    assert (again.state, again.attempt, again.tries) == (_S.PENDING, 2, 1)


def test_a_job_that_claimed_its_attempt_is_adopted_by_its_claim() -> None:
    claims = {attempt(): SchedulerId("8_0")}
    (adopted,) = records(seen(flying(_S.SUBMITTING), look=EMPTY, claims=claims))
    assert (adopted.state, adopted.id, adopted.attempt) == (_S.RUNNING, "8_0", 1)


def test_a_claim_without_a_name_is_waited_for_and_then_lost() -> None:
    claims = {attempt(): SchedulerId("")}
    assert not states(seen(flying(_S.SUBMITTING, since=NOW - 100), look=EMPTY, claims=claims))
    s = seen(flying(_S.SUBMITTING, since=NOW - 300), look=EMPTY, claims=claims)
    assert records(s)[0].outcome is Outcome.LOST


@pytest.mark.parametrize(
    ("state", "phase", "then"),
    [
        (_S.QUEUED, Phase.RUNNING, [_S.RUNNING]),
        (_S.RUNNING, Phase.QUEUED, [_S.QUEUED]),
        (_S.QUEUED, Phase.QUEUED, []),
        (_S.RUNNING, Phase.RUNNING, []),
    ],
)
def test_states_follow_the_listing(state: JobState, phase: Phase, then: list[JobState]) -> None:
    assert states(seen(flying(state), look=says(phase))) == then


@pytest.mark.parametrize(
    "outcome", [Outcome.TIMEOUT, Outcome.OUT_OF_MEMORY, Outcome.CANCELLED, Outcome.FAILED]
)
def test_the_schedulers_word_ends_a_job_that_never_started(outcome: Outcome) -> None:
    s = seen(flying(), look=says(Phase.ENDED, outcome))
    assert asks(s)
    s = seen(flying(), look=says(Phase.ENDED, outcome), claims={attempt(): OURS})
    assert [(r.state, r.outcome) for r in records(s)] == [
        (_S.EXITED, outcome),
        (_S.PENDING, outcome),
    ]


def test_a_record_may_be_late_by_some_seconds() -> None:
    claims = {attempt(): SchedulerId("7_0")}
    given: dict[str, Any] = {"look": says(Phase.ENDED, Outcome.OUT_OF_MEMORY), "claims": claims}
    assert not states(seen(flying(), ended={flying().key: NOW - 5}, **given))
    s = seen(flying(), ended={flying().key: NOW - 11}, **given)
    assert records(s)[0].outcome is Outcome.OUT_OF_MEMORY


def test_a_success_without_a_record_is_none() -> None:
    claims = {attempt(): SchedulerId("7_0")}
    given: dict[str, Any] = {"look": says(Phase.ENDED, Outcome.SUCCEEDED), "claims": claims}
    assert not states(seen(flying(), ended={flying().key: NOW - 179}, **given))
    s = seen(flying(), ended={flying().key: NOW - 181}, **given)
    assert records(s)[0].outcome is Outcome.LOST


def test_a_job_that_is_gone_is_lost_after_the_grace_and_a_claim() -> None:
    assert plan(seen(flying(), look=EMPTY, missing={flying().key: NOW - 179})) == ()
    late: dict[str, Any] = {"look": EMPTY, "missing": {flying().key: NOW - 181}}
    assert asks(seen(flying(), **late))
    s = seen(flying(), **late, claims={attempt(): SchedulerId("7_0")})
    assert [(r.state, r.outcome) for r in records(s)] == [
        (_S.EXITED, Outcome.LOST),
        (_S.PENDING, Outcome.LOST),
    ]


def test_a_job_is_not_lost_before_it_was_asked_about_by_name() -> None:
    late: dict[str, Any] = {"missing": {flying().key: NOW - 1000}, "claims": {attempt(): OURS}}
    unasked = Look(jobs={}, unasked=frozenset({SchedulerId("7_0")}))
    assert plan(seen(flying(), look=unasked, **late)) == ()
    assert records(seen(flying(), look=EMPTY, **late))[0].outcome is Outcome.LOST


REMOVED = Look(jobs={}, removed=frozenset({SchedulerId("7_0")}))


def test_an_element_that_its_array_has_no_more_was_cancelled_if_it_never_started() -> None:
    missing = {flying().key: NOW}
    assert asks(seen(flying(), look=REMOVED, missing=missing))
    (exited, _) = records(seen(flying(), look=REMOVED, missing=missing, claims={attempt(): OURS}))
    assert (exited.outcome, exited.reason) == (
        Outcome.CANCELLED,
        "removed from its array at the scheduler before it started",
    )


def test_an_element_that_its_array_has_no_more_and_that_started_is_waited_for() -> None:
    given: dict[str, Any] = {"look": REMOVED, "claims": {attempt(): SchedulerId("7_0")}}
    assert plan(seen(flying(), missing={flying().key: NOW - 179}, **given)) == ()
    s = seen(flying(), missing={flying().key: NOW - 181}, **given)
    assert records(s)[0].outcome is Outcome.LOST


def test_the_job_that_owns_the_claim_is_followed_when_a_submit_made_two() -> None:
    claims = {attempt(): SchedulerId("8_0")}
    s = seen(flying(), look=says(Phase.ENDED, Outcome.SUCCEEDED), claims=claims)
    (followed,) = records(s)
    assert (followed.state, followed.id) == (_S.RUNNING, "8_0")


def test_a_record_written_on_a_signal_counts_once_the_scheduler_let_go() -> None:
    given: dict[str, Any] = {"records": {attempt(): exit_record(provisional=True)}}
    assert not states(seen(flying(), **given))
    assert not states(seen(flying(), look=says(Phase.RUNNING), **given))
    assert states(seen(flying(), look=says(Phase.QUEUED), **given)) == [_S.QUEUED]
    s = seen(flying(), look=says(Phase.ENDED, Outcome.TIMEOUT), **given)
    assert records(s)[0].outcome is Outcome.TIMEOUT


def test_an_unwanted_job_is_told_to_end_and_told_again_only_after_a_while() -> None:
    given: dict[str, Any] = {"runs": {RUN: view(cancel=True)}, "look": says()}
    told = CancelJobs(jobs=((flying().key, SchedulerId("7_0")),))
    assert told in plan(seen(flying(), **given))
    assert told not in plan(seen(flying(), told={flying().key: NOW - 5}, **given))
    assert told in plan(seen(flying(), told={flying().key: NOW - 60}, **given))


def test_an_unwanted_job_is_cancelled_when_the_scheduler_says_so() -> None:
    s = seen(
        flying(),
        runs={RUN: view(cancel=True)},
        look=says(Phase.ENDED, Outcome.CANCELLED),
        claims={attempt(): OURS},
    )
    assert states(s) == [_S.EXITED, _S.CANCELLED]
    s = seen(
        flying(_S.SUBMITTING),
        runs={RUN: view(cancel=True)},
        look=EMPTY,
        claims={attempt(): OURS},
    )
    assert states(s) == [_S.CANCELLED]


def test_a_record_of_a_job_that_was_told_to_end_says_cancelled() -> None:
    s = seen(
        flying(),
        runs={RUN: view(cancel=True)},
        told={flying().key: NOW - 1},
        records={attempt(): exit_record(143)},
    )
    assert [(r.state, r.outcome, r.code) for r in records(s)] == [
        (_S.EXITED, Outcome.CANCELLED, 143),
        (_S.CANCELLED, Outcome.CANCELLED, 143),
    ]


def test_a_sibling_of_a_failed_job_is_not_tried_again() -> None:
    counts = {_S.FAILED: 1, _S.RUNNING: 9}
    s = seen(flying(), runs={RUN: view(counts=counts)}, records={attempt(): exit_record(1)})
    assert states(s) == [_S.EXITED, _S.FAILED]
    on = view(counts=counts, continue_on_failure=True)
    assert (
        states(seen(flying(), runs={RUN: on}, records={attempt(): exit_record(1)}))[-1]
        is _S.PENDING
    )


def test_what_crashed_between_exited_and_settled_is_settled() -> None:
    job = flying(_S.EXITED, outcome=Outcome.SUCCEEDED, tries=1)
    assert states(seen(job)) == [_S.FINISHED]


def test_the_scheduler_may_forget_what_ended() -> None:
    s = seen(flying(), records={attempt(): exit_record()})
    assert Forget(ids=(SchedulerId("7_0"),)) in plan(s)


def test_a_job_that_ended_before_its_id_was_known_has_nothing_to_be_forgotten() -> None:
    s = seen(flying(_S.SUBMITTING), records={attempt(): exit_record()})
    assert not [action for action in plan(s) if isinstance(action, Forget)]


def test_a_provisional_record_of_a_job_that_was_not_listed_yet_is_not_the_last_word() -> None:
    """The scheduler may list late, and have started it again meanwhile."""
    job = flying(_S.QUEUED, since=NOW - 20)
    found = {"records": {attempt(): exit_record(provisional=True)}, "look": EMPTY}
    s = seen(job, missing={job.key: NOW - 15}, **found)
    assert records(s) == []
    older = flying(_S.QUEUED, since=NOW - 70)
    assert records(seen(older, missing={job.key: NOW - 15}, **found))
