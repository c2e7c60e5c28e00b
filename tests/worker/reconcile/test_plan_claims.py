"""How much a cluster claims of what it shares with others: what was seen, and what follows from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from jobferry_common.ledger.records import JobInFlight, JobRecord, Pool
from jobferry_common.names import ClusterName, RunId
from jobferry_common.states import JobState, RunState
from jobferry_worker.reconcile.actions import ClaimJobs
from jobferry_worker.reconcile.claims import (
    claim_room,
    is_left_to_others,
    is_liked_elsewhere,
    plan_claims,
)
from jobferry_worker.reconcile.plan import plan
from jobferry_worker.reconcile.snapshot import Hold, Limits, Patience, RunView, Snapshot
from tests.worker.reconcile.snapshots import EMPTY, NOW, RUN, flying, seen, view

_S = JobState
ME, BETA, GAMMA = ClusterName("alpha"), ClusterName("beta"), ClusterName("gamma")
OTHER = RunId("6f8-1")


def shared(run: RunId = RUN, *, header: dict[str, Any] | None = None, **fields: Any) -> RunView:
    """Return a run that three clusters share."""
    found = view(run, jobs=1000)
    fields.setdefault("targets", (ME, BETA, GAMMA))
    return RunView(
        record=replace(found.record, **fields), header=replace(found.header, **(header or {}))
    )


def with_pool(
    pool: Pool, *jobs: JobInFlight, run: RunView | None = None, **fields: Any
) -> Snapshot:
    """Return what a cluster sees that has nothing but a part in one shared run."""
    given = {
        "runs": {RUN: run or shared()},
        "pools": {RUN: pool},
        "me": ME,
        "live": frozenset({ME, BETA, GAMMA}),
        **fields,
    }
    return seen(*jobs, **given)


def claimed(s: Snapshot) -> dict[RunId, int]:
    return {action.run: action.limit for action in plan_claims(s)}


def waiting(count: int, state: JobState = _S.QUEUED) -> tuple[JobInFlight, ...]:
    return tuple(flying(state, job=number) for number in range(count))


def test_without_more_knowledge_a_cluster_claims_what_may_wait_there() -> None:
    assert claimed(with_pool(Pool(open=1000))) == {RUN: 16}
    assert claimed(with_pool(Pool(open=1000), *waiting(10))) == {RUN: 6}
    assert claimed(with_pool(Pool(open=1000), *waiting(10, _S.SUBMITTING))) == {RUN: 6}
    assert claimed(with_pool(Pool(open=1000), *waiting(16))) == {}
    assert claimed(with_pool(Pool(open=1000), *waiting(16, _S.EXITED))) == {RUN: 16}


def test_what_runs_makes_room_for_as_many_that_wait() -> None:
    assert claim_room(with_pool(Pool(), *waiting(40, _S.RUNNING))) == 40
    assert claim_room(with_pool(Pool(), *waiting(10, _S.RUNNING))) == 16


def test_a_limit_of_its_profile_counts_in_its_place() -> None:
    assert claim_room(with_pool(Pool(), *waiting(3), limits=Limits(ahead=5))) == 2


def test_slots_that_are_known_are_filled_three_times() -> None:
    limits = Limits(slots=8)
    assert claim_room(with_pool(Pool(), limits=limits)) == 24
    assert claim_room(with_pool(Pool(), *waiting(4), limits=limits)) == 20
    assert claim_room(with_pool(Pool(), *waiting(4, _S.RUNNING), limits=limits)) == 20


def test_what_may_be_queued_bounds_it_but_for_a_few_whose_files_come_meanwhile() -> None:
    assert claim_room(with_pool(Pool(), limits=Limits(room=2))) == 10
    assert claim_room(with_pool(Pool(), limits=Limits(room=100))) == 16


def test_what_was_claimed_before_takes_room() -> None:
    assert claim_room(with_pool(Pool(claimed=3, staged=4))) == 9
    assert claimed(with_pool(Pool(open=1000, claimed=12, staged=4))) == {}


def test_the_last_jobs_are_dealt_out_in_equal_parts_to_those_that_live() -> None:
    assert claimed(with_pool(Pool(open=9))) == {RUN: 3}
    assert claimed(with_pool(Pool(open=9), live=frozenset({ME, BETA}))) == {RUN: 5}
    assert claimed(with_pool(Pool(open=9), live=frozenset())) == {RUN: 9}
    assert claimed(with_pool(Pool(open=1))) == {RUN: 1}


def test_what_waits_here_already_is_a_part_of_the_part() -> None:
    for state in (_S.PENDING, _S.SUBMITTING, _S.QUEUED):
        pool = Pool(open=9, at={ME: {state: 3}})
        assert claimed(with_pool(pool)) == {RUN: 1}
    assert claimed(with_pool(Pool(open=9, at={ME: {_S.RUNNING: 3}}))) == {RUN: 3}
    assert claimed(with_pool(Pool(open=3, at={ME: {_S.QUEUED: 9}}))) == {}


def test_of_what_runs_only_what_slots_are_lacking_for_waits() -> None:
    pool = Pool(open=9, at={ME: {_S.RUNNING: 5, _S.QUEUED: 1}})
    assert claimed(with_pool(pool, limits=Limits(slots=4))) == {RUN: 2}
    assert claimed(with_pool(pool, limits=Limits(slots=8))) == {RUN: 3}


def test_by_weight_a_cluster_takes_its_weights_part() -> None:
    heavy = shared(header={"placement": {ME: 4.0, BETA: 1.0, GAMMA: 1.0}})
    assert claimed(with_pool(Pool(open=12), run=heavy)) == {RUN: 8}
    light = shared(header={"placement": {BETA: 5.0}})
    assert claimed(with_pool(Pool(open=14), run=light)) == {RUN: 2}


def test_by_order_it_takes_all_that_it_has_room_for() -> None:
    assert claimed(with_pool(Pool(open=9), run=shared(header={"placement": "order"}))) == {RUN: 9}


def test_nothing_is_claimed_of_what_is_not_open() -> None:
    assert claimed(with_pool(Pool(open=0))) == {}


def test_of_a_run_that_was_turned_away_fewer_are_claimed_after_its_rest() -> None:
    assert (
        claimed(with_pool(Pool(open=900), holds={RUN: Hold(until=NOW + 1, failures=1, batch=2)}))
        == {}
    )
    assert claimed(
        with_pool(Pool(open=900), holds={RUN: Hold(until=NOW, failures=1, batch=2)})
    ) == {RUN: 2}


@pytest.mark.parametrize(
    "fields",
    [
        {"state": RunState.CANCELLED},
        {"held": True},
        {"cancel": True},
    ],
)
def test_nothing_is_claimed_of_a_run_of_which_nothing_more_is_to_run(
    fields: dict[str, Any],
) -> None:
    assert claimed(with_pool(Pool(open=9), run=shared(**fields))) == {}


def test_nothing_is_claimed_of_a_run_that_cannot_be_read() -> None:
    assert claimed(with_pool(Pool(open=9), broken={RUN: "no document"})) == {}
    assert claimed(with_pool(Pool(open=9), runs={})) == {}


def test_a_cluster_without_the_tags_that_a_run_requires_claims_nothing_of_it() -> None:
    needy = shared(header={"requires": ("gpu",)})
    assert claimed(with_pool(Pool(open=9), run=needy)) == {}
    assert claimed(with_pool(Pool(open=9), run=needy, tags=frozenset({"gpu", "fast"}))) == {RUN: 3}


def test_a_run_whose_files_could_not_be_brought_rests() -> None:
    assert claimed(with_pool(Pool(open=9), unstageable={RUN: NOW + 1})) == {}
    assert claimed(with_pool(Pool(open=9), unstageable={RUN: NOW})) == {RUN: 3}


def test_what_a_better_liked_cluster_may_take_is_left_to_it_for_some_seconds() -> None:
    patience = Patience(placement=10.0)
    assert claimed(with_pool(Pool(open=9), patience=patience, offered={RUN: NOW - 9})) == {}
    assert claimed(with_pool(Pool(open=9), patience=patience, offered={RUN: NOW - 10})) == {RUN: 3}


def test_owners_share_the_room() -> None:
    runs = {RUN: shared(), OTHER: shared(OTHER, owner="bob@b")}
    pools = {RUN: Pool(open=900), OTHER: Pool(open=900)}
    assert claimed(with_pool(Pool(), runs=runs, pools=pools)) == {RUN: 8, OTHER: 8}
    taken = {RUN: Pool(open=900, staged=4), OTHER: Pool(open=900)}
    assert claimed(with_pool(Pool(), runs=runs, pools=taken)) == {RUN: 4, OTHER: 8}
    out = with_pool(Pool(), *waiting(4), runs=runs, pools=pools)
    assert claimed(out) == {RUN: 4, OTHER: 8}


def test_a_run_with_a_priority_is_served_before_others_of_its_owner() -> None:
    runs = {RUN: shared(), OTHER: shared(OTHER, priority=1)}
    pools = {RUN: Pool(open=900), OTHER: Pool(open=900)}
    assert claimed(with_pool(Pool(), runs=runs, pools=pools)) == {OTHER: 16}


def test_a_better_liked_cluster_with_nothing_waiting_may_take_it_first() -> None:
    by_order = shared(header={"placement": "order"}, targets=(BETA, ME, GAMMA))
    live = frozenset({ME, BETA, GAMMA})
    s = with_pool(Pool(open=9), run=by_order, live=live)
    assert is_liked_elsewhere(s, by_order, Pool(open=9))
    for state in (_S.PENDING, _S.SUBMITTING, _S.QUEUED):
        assert not is_liked_elsewhere(s, by_order, Pool(open=9, at={BETA: {state: 1}}))
    assert is_liked_elsewhere(s, by_order, Pool(open=9, at={BETA: {_S.RUNNING: 1}}))
    asleep = replace(s, live=frozenset({ME, GAMMA}))
    assert not is_liked_elsewhere(asleep, by_order, Pool(open=9))
    first = shared(header={"placement": "order"}, targets=(ME, BETA, GAMMA))
    assert not is_liked_elsewhere(s, first, Pool(open=9))
    stranger = shared(header={"placement": "order"}, targets=(BETA, GAMMA))
    assert is_liked_elsewhere(s, stranger, Pool(open=9))


def test_without_a_placement_nobody_is_liked_better() -> None:
    s = with_pool(Pool(open=9))
    assert not is_liked_elsewhere(s, shared(), Pool(open=9, at={ME: {_S.FINISHED: 5}}))


def test_by_weight_who_had_less_of_his_part_is_liked_better() -> None:
    weighed = shared(header={"placement": {ME: 1.0, BETA: 2.0}}, targets=(ME, BETA))
    s = with_pool(Pool(open=9), run=weighed)
    assert not is_liked_elsewhere(s, weighed, Pool(open=9))
    assert is_liked_elsewhere(
        s, weighed, Pool(open=9, at={ME: {_S.FINISHED: 1}, BETA: {_S.FINISHED: 1}})
    )
    assert not is_liked_elsewhere(
        s, weighed, Pool(open=9, at={ME: {_S.FINISHED: 1}, BETA: {_S.FINISHED: 2}})
    )


def test_a_pass_rests_while_all_that_is_due_is_left_to_others() -> None:
    nothing = ((RUN, ()),)
    left = with_pool(Pool(open=0), due=nothing)
    assert is_left_to_others(left)
    assert not is_left_to_others(replace(left, pools={RUN: Pool(open=9)}))
    assert not is_left_to_others(replace(left, due=()))
    assert not is_left_to_others(replace(left, due=((OTHER, ()),)))
    pending = ((0, JobRecord(state=_S.PENDING)),)
    assert not is_left_to_others(replace(left, due=((RUN, pending),)))


def test_nothing_is_claimed_in_the_round_in_which_too_many_are_gone_nor_while_paused() -> None:
    def claims(s: Snapshot) -> list[ClaimJobs]:
        return [action for action in plan(s) if isinstance(action, ClaimJobs)]

    jobs = waiting(50, _S.RUNNING)
    missing = {job.key: NOW - 1 for job in jobs}
    s = with_pool(Pool(open=900), *jobs, look=EMPTY)
    assert claims(s) != []
    assert claims(replace(s, missing=missing)) == []
    assert claims(replace(s, paused=True)) == []
