"""Passes over a simulated cluster, with a real ledger: what users of a cluster live through."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from jobferry_common.errors import BadInput, HostUnreachable, Problem, StagingError
from jobferry_common.schedulers.base import Completed
from jobferry_common.states import JobState, RunState
from jobferry_worker.reconcile import killpoints
from jobferry_worker.reconcile.advance import advance
from tests.simulation.bench import Bench
from tests.simulation.fakes import ALPHA, FakeHost, FakeScheduler
from tests.simulation.world import Chances, World

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis import Redis

    from jobferry_common.files import NewFile
    from jobferry_common.schedulers.base import Argv

_S = JobState


def test_a_run_goes_out_as_one_array_and_finishes(bench: Bench) -> None:
    run = bench.accept(jobs=20)
    bench.advance()
    assert bench.counts(run) == {_S.QUEUED: 20}
    assert bench.world.commands.count("submit") == 1
    bench.until_final()
    assert bench.state(run) is RunState.FINISHED
    assert bench.counts(run) == {_S.FINISHED: 20}
    assert not list(bench.world.faults())


def test_nothing_is_submitted_before_it_is_staged_and_the_pass_says_so(bench: Bench) -> None:
    run = bench.accept(staged=False)
    report = bench.advance()
    assert report.stage == (run,)
    assert bench.counts(run) == {_S.PENDING: 3}
    bench.ledger.change_run(run, staged=True)
    assert bench.advance().stage == ()
    assert bench.counts(run) == {_S.QUEUED: 3}


def test_results_are_reported_for_collection(bench: Bench) -> None:
    run = bench.accept()
    bench.until_final()
    assert bench.advance().collect == (run,)


def test_an_idle_cluster_costs_no_command_and_asks_for_no_further_pass(bench: Bench) -> None:
    bench.accept()
    bench.until_final()
    commands = list(bench.world.commands)
    for _ in range(100):
        assert bench.step(10.0).next_look is None
    assert bench.world.commands == commands


def test_the_scheduler_is_asked_less_and_less_while_nothing_changes(bench: Bench) -> None:
    bench.world.longest = 100_000.0
    bench.accept()
    bench.advance()
    bench.world.commands.clear()
    bench.steps(1000, each=1.0)
    assert 15 <= bench.world.commands.count("list") <= 30


def test_ends_are_seen_in_the_spool_without_a_command(bench: Bench) -> None:
    """A defect of DPDispatcher: a task of 2 s takes 31 s."""
    bench.world.longest = 3.0
    run = bench.accept(jobs=50)
    bench.advance()
    bench.world.commands.clear()
    bench.steps(6, each=0.5)
    assert bench.state(run) is RunState.FINISHED
    assert "list" not in bench.world.commands
    assert not [path for path in bench.world.files if "/spool/" in path]


def test_an_outage_changes_nothing_and_the_cluster_resumes_by_itself(bench: Bench) -> None:
    bench.world.longest = 500.0
    run = bench.accept()
    bench.advance()
    bench.steps(30)
    before = bench.counts(run)
    bench.world.chances = Chances(outage=1.0)
    bench.world.longest = 0.0
    bench.steps(300)
    record = bench.ledger.cluster(ALPHA)
    assert record.paused_by == "jobferry"
    assert "does not answer" in record.paused
    assert record.failures >= 3
    assert sum(bench.counts(run).values()) == sum(before.values())
    assert bench.ledger.run(run).counts[_S.PENDING] == 0
    bench.world.chances = Chances()
    bench.until_final()
    bench.steps(300)
    assert bench.state(run) is RunState.FINISHED
    assert bench.ledger.cluster(ALPHA).paused == ""


@pytest.mark.parametrize(("waited", "tells"), [(5.0, False), (25.0, True)])
def test_who_waited_long_for_an_answer_tells_it_at_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, waited: float, tells: bool
) -> None:
    def reach(host: FakeHost) -> None:
        host.world.tick(waited)
        msg = "the far side stopped answering"
        raise HostUnreachable(msg)

    bench.accept()
    with monkeypatch.context() as patch:
        patch.setattr(FakeHost, "_reach", reach)
        bench.advance()
        assert ("stopped answering" in bench.ledger.cluster(ALPHA).paused) is tells
    bench.until_final()
    assert bench.ledger.cluster(ALPHA).paused == ""


def test_probes_of_a_failing_cluster_grow_rarer(bench: Bench) -> None:
    bench.accept()
    bench.world.reachable = False
    rests = []
    for _ in range(9):
        rest = bench.advance().next_look
        assert rest is not None
        rests.append(rest)
        bench.world.tick(rest)
    assert rests == sorted(rests)
    assert rests[-1] == 300.0


def test_an_operators_pause_is_left_alone_and_what_is_out_goes_on(bench: Bench) -> None:
    first = bench.accept()
    bench.advance()
    bench.ledger.set_cluster(ALPHA, paused="maintenance", paused_by="operator")
    second = bench.accept()
    bench.steps(200)
    assert bench.state(first) is RunState.FINISHED
    assert bench.counts(second) == {_S.PENDING: 3}
    assert bench.ledger.cluster(ALPHA).paused == "maintenance"


def test_a_paused_cluster_with_work_that_waits_is_not_looked_at_all_the_time(bench: Bench) -> None:
    bench.ledger.set_cluster(ALPHA, paused="maintenance", paused_by="operator")
    bench.accept()
    assert bench.advance().next_look is None


def test_files_come_to_a_paused_cluster_and_not_to_one_that_is_drained(bench: Bench) -> None:
    run = bench.accept(staged=False)
    bench.ledger.set_cluster(ALPHA, paused="maintenance", paused_by="operator")
    assert bench.advance().stage == (run,)
    bench.ledger.set_cluster(ALPHA, draining="yes")
    assert bench.advance().stage == ()
    bench.ledger.set_cluster(ALPHA, paused="", draining="")
    assert bench.advance().stage == (run,)


def test_an_operators_resume_is_forgotten_once_nothing_is_out(bench: Bench) -> None:
    bench.advance()
    bench.ledger.set_cluster(ALPHA, paused="", paused_by="operator")
    bench.step(10)  # a full pass
    assert bench.ledger.cluster(ALPHA).paused_by == ""


def test_a_submit_that_hangs_while_the_queue_says_none_is_found_later(bench: Bench) -> None:
    bench.world.chances = Chances(submit_delayed=1.0)
    run = bench.accept()
    bench.advance()
    bench.world.chances = Chances()
    assert bench.counts(run) == {_S.SUBMITTING: 3}
    bench.until_final()
    assert bench.state(run) is RunState.FINISHED
    assert not list(bench.world.faults())
    assert {record.tries for _, record in bench.ledger.jobs(run)} == {1}


def test_a_submit_that_never_arrived_is_repeated_as_another_attempt(bench: Bench) -> None:
    bench.world.chances = Chances(submit_delayed=1.0)
    run = bench.accept()
    bench.advance()
    bench.world.chances = Chances()
    bench.world.delayed.clear()
    bench.until_final()
    assert bench.state(run) is RunState.FINISHED
    assert {(r.attempt, r.tries) for _, r in bench.ledger.jobs(run)} == {(2, 1)}


def test_a_limit_of_the_scheduler_is_topped_up_as_room_appears(redis: Redis) -> None:
    bench = Bench(redis, World(limit=5))
    run = bench.accept(jobs=40)
    most = 0
    while not bench.state(run).is_final:
        bench.step(2.0)
        most = max(most, sum(e.state != "ended" for e in bench.world.elements.values()))
        assert bench.world.now < 1_700_010_000
    assert most == 5
    assert bench.counts(run) == {_S.FINISHED: 40}
    assert {record.attempt for _, record in bench.ledger.jobs(run)} == {1}


def test_our_own_limit_is_never_exceeded(redis: Redis) -> None:
    bench = Bench(redis, max_queued_jobs=4)
    run = bench.accept(jobs=30)
    while not bench.state(run).is_final:
        bench.step(2.0)
        assert sum(e.state != "ended" for e in bench.world.elements.values()) <= 4
        assert bench.world.now < 1_700_010_000


def test_a_small_run_does_not_wait_for_a_large_one(redis: Redis) -> None:
    bench = Bench(redis, max_queued_jobs=6)
    large = bench.accept(jobs=300, owner="ann@a")
    bench.steps(30)
    small = bench.accept(jobs=3, owner="bob@b")
    while not bench.state(small).is_final:
        bench.step(2.0)
    assert bench.state(small) is RunState.FINISHED
    assert bench.ledger.run(large).counts[_S.PENDING] > 200


def test_what_the_scheduler_refuses_fails_in_its_own_words(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: FakeHost, argv: Argv, limit: timedelta) -> Completed:
        return Completed(argv=argv, exit_code=64, stderr="Invalid partition name specified")

    monkeypatch.setattr(FakeHost, "_submit", refuse)
    run = bench.accept()
    bench.advance()
    assert bench.state(run) is RunState.FAILED
    assert bench.ledger.job(run, 0).reason == "Invalid partition name specified"
    bench.steps(100)
    assert bench.world.commands.count("submit") == 1


def test_what_cannot_be_said_to_the_scheduler_fails_the_run_with_what_is_wrong(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def header(*_: object, **__: object) -> list[str]:
        raise BadInput([Problem("resources.queue_name", "holds a space")])

    monkeypatch.setattr(FakeScheduler, "header", header)
    run = bench.accept()
    bench.advance()
    assert bench.state(run) is RunState.FAILED
    assert bench.ledger.job(run, 0).reason == "resources.queue_name: holds a space"
    assert "submit" not in bench.world.commands


def test_two_submits_of_a_run_are_as_far_apart_as_its_user_wants(redis: Redis) -> None:
    bench = Bench(redis, World(max_array=2))
    run = bench.accept(jobs=6, wait_time=60.0)
    seen = set()
    for _ in range(150):
        bench.step(1.0)
        seen.add(bench.ledger.run(run).counts[_S.PENDING])
    assert seen == {4, 2, 0}
    assert bench.world.commands.count("submit") == 3


def test_a_full_disk_makes_a_run_wait_with_the_reason_and_others_go_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = bench.accept()
    honest = FakeHost.write

    def write(self: FakeHost, files: Iterable[NewFile]) -> None:
        given = list(files)
        if any(full in file.path for file in given):
            msg = f"cannot write {given[0].path}: No space left on device"
            raise StagingError(msg)
        honest(self, given)

    monkeypatch.setattr(FakeHost, "write", write)
    other = bench.accept()
    bench.steps(200)
    assert bench.state(other) is RunState.FINISHED
    assert bench.counts(full) == {_S.PENDING: 3}
    assert "No space left" in bench.ledger.run(full).reason
    monkeypatch.undo()
    bench.until_final()
    assert bench.state(full) is RunState.FINISHED
    assert bench.ledger.run(full).reason == ""


def test_a_run_whose_document_cannot_be_read_fails_alone(bench: Bench) -> None:
    broken, fine = bench.accept(), bench.accept()
    bench.redis.hset(f"jobferry:run:{broken}:pages", "header", "garbage")
    bench.steps(200)
    assert bench.state(broken) is RunState.FAILED
    assert "cannot be read" in bench.ledger.run(broken).reason
    assert bench.state(fine) is RunState.FINISHED


def test_a_cancelled_run_ends_everywhere(bench: Bench) -> None:
    bench.world.longest = 10_000.0
    bench.world.slots = 2
    run = bench.accept(jobs=6)
    bench.steps(60)
    bench.ledger.wish_cancel(run)
    bench.steps(60)
    assert bench.state(run) is RunState.CANCELLED
    assert set(bench.job_states(run)) == {_S.CANCELLED}
    assert all(element.state == "ended" for element in bench.world.elements.values())
    assert bench.world.commands.count("cancel") == 1


def test_what_was_not_submitted_is_cancelled_at_once(bench: Bench) -> None:
    run = bench.accept(jobs=2500, staged=False)
    bench.ledger.wish_cancel(run)
    bench.advance()
    assert bench.state(run) is RunState.CANCELLED
    assert bench.world.commands.count("submit") == 0


def test_a_run_finishes_once_enough_of_it_is_done(bench: Bench) -> None:
    bench.world.longest = 20.0
    run = bench.accept(jobs=10, ratio_unfinished=0.3)
    bench.advance()
    for name in list(bench.world.elements)[:2]:
        bench.world.elements[name].starts += 100_000
    bench.steps(200)
    assert bench.state(run) is RunState.FINISHED
    assert bench.ledger.run(run).counts[_S.CANCELLED] >= 2


def test_a_second_pass_leaves_at_once_while_the_first_holds_the_lease(bench: Bench) -> None:
    run = bench.accept()
    fence = bench.ledger.acquire(bench.cluster.lease, "another worker", timedelta(minutes=1))
    assert fence is not None
    report = bench.advance()
    assert report.changed == 0
    assert bench.counts(run) == {_S.PENDING: 3}
    bench.ledger.release(bench.cluster.lease, fence)
    bench.advance()
    assert bench.counts(run) == {_S.QUEUED: 3}


def test_a_pass_that_lost_its_lease_gives_up_and_changes_nothing(bench: Bench) -> None:
    run = bench.accept()

    def steal(point: str) -> None:
        if point == "before-reserve":
            bench.redis.delete(f"jobferry:lease:{bench.cluster.lease}")
            bench.ledger.acquire(bench.cluster.lease, "a thief", timedelta(milliseconds=1))

    with killpoints.trapped(steal):
        advance(bench.ledger, bench.cluster, bench.settings, bench.world.clock)
    assert bench.counts(run) == {_S.PENDING: 3}
    assert "submit" not in bench.world.commands


def test_a_job_is_started_again_by_its_scheduler_after_a_provisional_record(redis: Redis) -> None:
    bench = Bench(redis, World(seed=5, chances=Chances(signalled=0.6, requeued=1.0)))
    run = bench.accept(jobs=10)
    bench.until_final()
    assert bench.counts(run) == {_S.FINISHED: 10}
    assert {record.attempt for _, record in bench.ledger.jobs(run)} == {1}
    assert any(len(done) > 1 for done in bench.world.executions.values())
