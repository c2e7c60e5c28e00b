"""After the broker forgot: what is doubted stays doubted, and one bad directory stops its own run alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobferry_common.names import AttemptKey
from jobferry_common.states import JobState, RunState
from jobferry_worker.reconcile import readback
from tests.simulation.bench import Bench
from tests.simulation.fakes import ALPHA, ROOT
from tests.simulation.world import World
from tests.worker.reconcile.test_doubts import forbid

if TYPE_CHECKING:
    import pytest
    from redis import Redis

    from jobferry_common.names import RunId
    from jobferry_common.scripts.layout import Layout
    from jobferry_worker.reconcile.passes import Pass

_S = JobState


def claim_of(run: RunId, job: int) -> str:
    return f"{ROOT}/{run}/.jobferry/{run}/claim/{AttemptKey(job, 1)}"


def change_broker(bench: Bench) -> None:
    """Let the broker be another process than the one under which the cluster was read back."""
    bench.redis.hset("jobferry:accounts", bench.cluster.lease, "the broker before")
    bench.restart()


def half_out(redis: Redis) -> tuple[Bench, RunId]:
    """Have one of two jobs out, the other waits; then the broker may have forgotten something."""
    bench = Bench(redis, World(limit=1, longest=100_000.0))
    run = bench.accept(jobs=2)
    bench.steps(60)
    assert bench.ledger.job(run, 1).state is _S.PENDING
    change_broker(bench)
    bench.step()
    return bench, run


def test_a_worker_that_is_restarted_still_doubts_what_was_read_back(redis: Redis) -> None:
    bench, run = half_out(redis)
    bench.restart()
    # a submit that the broker forgot has come through after all
    bench.world.files[claim_of(run, 1)] = b"job 99\n"
    bench.ledger.wish_cancel(run)
    bench.step()
    assert (bench.ledger.job(run, 1).state, bench.ledger.job(run, 1).id) == (_S.RUNNING, "99")


def test_another_worker_doubts_it_too(redis: Redis) -> None:
    bench = Bench(redis, World(limit=1, longest=100_000.0))
    run = bench.accept(jobs=2)
    bench.steps(60)
    other, mine = bench.cluster, bench
    change_broker(bench)
    mine.step()
    mine.cluster = other
    bench.world.files[claim_of(run, 1)] = b"job 99\n"
    bench.world.limit = None
    bench.steps(60)
    assert bench.ledger.job(run, 1).id == "99"
    assert bench.world.last_id == 1


def test_what_is_doubted_is_forgotten_with_the_end_of_its_run(redis: Redis) -> None:
    bench, run = half_out(redis)
    assert bench.ledger.doubt_of(ALPHA, run) == "read"
    bench.ledger.wish_cancel(run)
    bench.until_final()
    assert bench.ledger.doubt_of(ALPHA, run) is None


def test_a_directory_that_cannot_be_read_back_stops_its_own_run_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.world.longest = 60.0
    closed, fine = bench.accept(), bench.accept()
    bench.steps(30)
    change_broker(bench)
    with monkeypatch.context() as patch:
        forbid(patch, closed, "claim")
        bench.step()
        assert bench.ledger.cluster(ALPHA).failures == 0
        assert "Permission denied" in bench.ledger.run(closed).reason
        bench.steps(600)
        assert bench.state(fine) is RunState.FINISHED
    bench.until_final()
    assert bench.state(closed) is RunState.FINISHED
    assert not list(bench.world.faults())


def test_what_could_not_be_read_back_is_neither_submitted_nor_cancelled(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(redis, World(limit=1, longest=100_000.0))
    run = bench.accept(jobs=2)
    bench.steps(60)
    bench.world.files[claim_of(run, 1)] = b"job 99\n"
    bench.world.limit = None
    change_broker(bench)
    with monkeypatch.context() as patch:
        forbid(patch, run, "claim")
        bench.steps(60)
        bench.restart()
        bench.ledger.wish_cancel(run)
        bench.steps(60)
        assert bench.ledger.job(run, 1).state is _S.PENDING
        assert bench.world.last_id == 1
        assert bench.ledger.cluster(ALPHA).failures == 0
    bench.step(61.0)
    assert bench.ledger.job(run, 1).id == "99"


def test_what_a_killed_writer_left_among_the_claims_stops_nobody(redis: Redis) -> None:
    bench = Bench(redis, World())
    run, other = bench.accept(jobs=2), bench.accept(jobs=2)
    bench.steps(20)
    there = claim_of(run, 0).rpartition("/")[0]
    bench.world.files[f"{there}/.jf-8500-45.tmp"] = b"job 1\n"
    bench.world.files[f"{there}/0.x"] = b""
    change_broker(bench)
    bench.until_final()
    assert bench.state(run) is bench.state(other) is RunState.FINISHED
    assert not list(bench.world.faults())


def test_a_run_that_cannot_be_compared_for_a_reason_that_nobody_foresaw_stops_nobody_else(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(redis, World(longest=300.0))
    bad, fine = bench.accept(jobs=2), bench.accept(jobs=2)
    bench.steps(60)
    whole = readback._claimed

    def strange(p: Pass, layout: Layout) -> readback.Owners:
        if layout.run == bad:
            raise ZeroDivisionError
        return whole(p, layout)

    change_broker(bench)
    with monkeypatch.context() as patch:
        patch.setattr(readback, "_claimed", strange)
        bench.steps(600)
        assert bench.ledger.cluster(ALPHA).failures == 0
        assert bench.state(fine) is RunState.FINISHED
    bench.until_final()
    assert bench.state(bad) is RunState.FINISHED
