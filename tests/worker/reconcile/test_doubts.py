"""What may be another's, or cannot be read: other schedulers, ids used again, directories of single runs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from jobferry_common.errors import StagingError, SubmitUnknown
from jobferry_common.names import AttemptKey, SchedulerId, Token
from jobferry_common.schedulers.base import Completed, Facts, Phase, Seen
from jobferry_common.scripts.records import WorkerClaim, worker_claim
from jobferry_common.states import JobState, Outcome, RunState
from jobferry_worker.reconcile import observe
from jobferry_worker.reconcile.actions import CancelJobs, ChangeJobs, MakeClaims
from jobferry_worker.reconcile.listing import gone
from jobferry_worker.reconcile.plan import plan
from jobferry_worker.reconcile.snapshot import Look
from tests.simulation.bench import Bench
from tests.simulation.fakes import ALPHA, ROOT, FakeHost, FakeScheduler
from tests.simulation.world import Chances, World
from tests.worker.reconcile.snapshots import RUN, TOKEN, attempt, flying, seen, view

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

    from jobferry_common.files import NewFile

_S = JobState
#: another command's, and what a user or a site may write over ours
ANOTHER, REWRITTEN = Token("jf.77a-1.0b1"), Token("project 7")


def speak_as(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let the scheduler be another one, which knows no job."""

    def parse_facts(self: FakeScheduler, done: Completed) -> Facts:
        return Facts(cluster=name, version="1", max_array=1000, history=False)

    def none(self: FakeHost, argv: Sequence[str]) -> str:
        return f'{{"cluster": "{name}", "jobs": []}}'

    monkeypatch.setattr(FakeScheduler, "parse_facts", parse_facts)
    monkeypatch.setattr(FakeHost, "_list", none)


def out(bench: Bench) -> Any:
    """Have a long run out."""
    bench.world.longest = 100_000.0
    run = bench.accept()
    bench.steps(30)
    return run


def test_a_worker_that_is_restarted_on_another_cluster_loses_no_job(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = out(bench)
    before = bench.counts(run)
    with monkeypatch.context() as patch:
        speak_as(patch, "test-system")
        bench.restart()
        bench.steps(2000)
        assert bench.counts(run) == before
        assert "calls its cluster 'test-system'" in bench.ledger.cluster(ALPHA).paused
    bench.steps(600)
    assert not bench.ledger.cluster(ALPHA).paused
    assert {record.attempt for _, record in bench.ledger.jobs(run)} == {1}


def test_an_operator_may_say_that_a_cluster_was_renamed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = out(bench)
    speak_as(monkeypatch, "new-name")
    bench.restart()
    bench.steps(100)
    bench.ledger.set_cluster(ALPHA, paused="", paused_by="operator", failures=0, probe_at=0.0)
    bench.ledger.wish_cancel(run)
    bench.steps(600)
    assert bench.state(run) is RunState.CANCELLED


def test_while_nothing_is_out_another_cluster_may_take_over(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.accept()
    bench.until_final()
    speak_as(monkeypatch, "next-year")
    bench.restart()
    bench.accept()
    bench.step()
    assert bench.ledger.cluster(ALPHA).failures == 0
    assert bench.ledger.remembered(f"scheduler of {ALPHA}") == "next-year"


def told(token: Token | None, phase: Phase, outcome: Outcome | None = None) -> Look:
    id_ = SchedulerId("7_0")
    return Look(jobs={id_: Seen(id=id_, phase=phase, token=token, outcome=outcome, code=1)})


@pytest.mark.parametrize("token", [ANOTHER, REWRITTEN])
def test_the_end_of_another_job_with_our_id_is_not_our_end(token: Token) -> None:
    look = told(token, Phase.ENDED, Outcome.FAILED)
    job = flying()
    assert gone(look, [job]) == ([job.key], [])
    assert plan(seen(job, look=look)) == ()


@pytest.mark.parametrize("token", [TOKEN, None])
def test_the_end_of_our_job_is_known_by_its_token_or_by_its_id_alone(token: Token | None) -> None:
    job = flying()
    assert gone(told(token, Phase.ENDED, Outcome.FAILED), [job]) == ([], [job.key])


def test_a_running_job_whose_mark_somebody_changed_is_still_ours() -> None:
    assert gone(told(REWRITTEN, Phase.RUNNING), [flying()]) == ([], [])
    assert gone(told(ANOTHER, Phase.RUNNING), [flying()]) == ([flying().key], [])


def test_what_claimed_our_attempt_and_lives_is_never_lost() -> None:
    job = flying()
    s = seen(job, look=told(ANOTHER, Phase.RUNNING), missing={job.key: 0.0})
    (asked,) = plan(s)
    assert isinstance(asked, MakeClaims)
    assert plan(replace(s, claims={attempt(): job.record.id})) == ()
    (lost,) = plan(replace(s, claims={attempt(): WorkerClaim("here:1")}))[:1]
    assert isinstance(lost, ChangeJobs)


def test_another_job_with_our_id_is_not_cancelled() -> None:
    runs = {RUN: view(cancel=True, counts={_S.RUNNING: 10})}
    look = told(ANOTHER, Phase.RUNNING)
    assert not [a for a in plan(seen(flying(), look=look, runs=runs)) if isinstance(a, CancelJobs)]


def forbid(monkeypatch: pytest.MonkeyPatch, run: str, directory: str) -> None:
    """Let one directory of a run be closed."""
    honest, create = FakeHost.read, FakeHost.create

    def check(paths: Sequence[str]) -> None:
        if bad := [path for path in paths if f"/{run}/{directory}/" in path]:
            msg = f"cannot read {bad[0]}: Permission denied"
            raise StagingError(msg)

    def read(self: FakeHost, paths: Sequence[str]) -> Any:
        check(paths)
        return honest(self, paths)

    def made(self: FakeHost, files: Sequence[NewFile]) -> Sequence[bool]:
        check([file.path for file in files])
        return create(self, files)

    monkeypatch.setattr(FakeHost, "read", read)
    monkeypatch.setattr(FakeHost, "create", made)


def test_records_that_cannot_be_read_stop_their_run_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, fine = bench.accept(), bench.accept()
    bench.advance()
    with monkeypatch.context() as patch:
        forbid(patch, closed, "records")
        bench.steps(3000)
        assert bench.state(fine) is RunState.FINISHED
        assert not bench.state(closed).is_final
        assert bench.ledger.cluster(ALPHA).failures == 0
    bench.until_final()
    assert bench.state(closed) is RunState.FINISHED
    assert {record.attempt for _, record in bench.ledger.jobs(closed)} == {1}


def test_claims_that_cannot_be_made_stop_their_run_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.world.chances = Chances(vanishes=1.0)
    closed, fine = bench.accept(jobs=1, retry_count=0), bench.accept(jobs=1, retry_count=0)
    bench.advance()
    with monkeypatch.context() as patch:
        forbid(patch, closed, "claim")
        bench.steps(3000)
        assert bench.state(fine).is_final
        assert not bench.state(closed).is_final
        assert bench.ledger.cluster(ALPHA).failures == 0
    bench.until_final()


def test_a_question_is_asked_of_no_run_that_is_silent() -> None:
    job = flying(_S.SUBMITTING, since=0.0)
    asked = plan(seen(job, look=Look(jobs={})))
    assert any(isinstance(action, MakeClaims) for action in asked)
    assert plan(seen(job, look=Look(jobs={}), silent={RUN})) == ()


def test_many_runs_to_be_judged_come_in_turn(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observe, "_JUDGED", 2)
    out(bench)
    monkeypatch.setattr(bench.ledger, "to_judge", lambda _: ["a", "b", "c"])
    judged: set[str] = set()
    views = observe._views

    def note(p: Any, runs: Any, broken: Any) -> Any:
        judged.update(set(runs) & {"a", "b", "c"})
        return views(p, set(runs) - {"a", "b", "c"}, broken)

    monkeypatch.setattr(observe, "_views", note)
    bench.steps(10)
    assert judged == {"a", "b", "c"}


def test_what_is_asked_of_many_large_runs_is_bounded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observe, "_BATCH", 200)
    for jobs in (1, 500, 500, 500, 500):
        bench.accept(jobs=jobs, staged=False)
    answered: list[int] = []
    honest = bench.ledger.due

    def due(*args: Any, **fields: Any) -> Any:
        found = honest(*args, **fields)
        answered.append(sum(len(jobs) for _, jobs in found))
        return found

    monkeypatch.setattr(bench.ledger, "due", due)
    assert len(bench.advance().stage) == 5
    assert max(answered) == 1 + 4 * 50


def test_one_large_run_goes_out_in_whole_arrays(bench: Bench) -> None:
    bench.world.max_array = 1000
    bench.accept(jobs=2000)
    bench.accept(jobs=1)
    bench.advance()
    assert bench.world.commands.count("submit") == 3


def test_a_submit_that_comes_through_after_its_attempts_were_taken_back_stops_nobody(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker died before it wrote down that it took them back: the jobs find its claims, and run nothing."""
    bench = Bench(redis, World())
    run = bench.accept(jobs=30)

    def hang(*_: object) -> NoReturn:
        msg = "sbatch ended with 124 and without a clear answer"
        raise SubmitUnknown(msg)

    with monkeypatch.context() as patch:
        patch.setattr(type(bench.cluster.scheduler), "parse_submit", hang)
        bench.step()
    assert bench.ledger.run(run).counts[_S.SUBMITTING] == 30
    for job in range(30):
        path = f"{ROOT}/{run}/.jobferry/{run}/claim/{AttemptKey(job, 1)}"
        bench.world.files[path] = worker_claim("dead:1")
    bench.until_final()
    assert bench.state(run) is RunState.FINISHED
    assert bench.ledger.cluster(ALPHA).paused == ""
    assert {record.attempt for _, record in bench.ledger.jobs(run)} == {2}
    assert not list(bench.world.faults())
