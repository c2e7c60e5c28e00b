"""Passes over a cluster whose root directory is gone, is another one, or was never reached."""

from __future__ import annotations

from jobferry_common.states import JobState, ResultsState, RunState
from tests.simulation.bench import Bench
from tests.simulation.fakes import ALPHA, ROOT
from tests.simulation.world import Chances

_S = JobState


def test_a_root_that_is_not_ours_counts_as_not_asked(bench: Bench) -> None:
    bench.world.longest = 1000.0
    run = bench.accept()
    bench.steps(30)
    files, bench.world.files = bench.world.files, {}
    bench.advance()
    bench.steps(60)
    assert "is missing" in bench.ledger.cluster(ALPHA).paused
    assert not bench.state(run).is_final
    bench.world.files = files
    bench.until_final()
    assert bench.state(run) is RunState.FINISHED


def test_a_root_that_was_emptied_while_nothing_needs_it_is_made_anew(bench: Bench) -> None:
    bench.accept()
    bench.until_final()
    bench.world.files.clear()
    run = bench.accept()
    bench.ledger.change_run(run, staged=False)
    bench.advance()
    bench.ledger.change_run(run, staged=True)
    bench.until_final()
    assert bench.state(run) is RunState.FINISHED
    assert f"{ROOT}/.jobferry/id" in bench.world.files


def test_runs_on_a_root_that_is_gone_for_good_can_be_cancelled(bench: Bench) -> None:
    bench.world.longest = 100_000.0
    out = bench.accept()
    bench.steps(30)
    bench.world.files.clear()
    waiting = bench.accept(staged=False)
    bench.steps(60)
    assert bench.ledger.cluster(ALPHA).paused
    bench.ledger.wish_cancel(waiting)
    bench.step()
    assert bench.state(waiting) is RunState.CANCELLED
    assert not bench.state(out).is_final
    bench.ledger.wish_cancel(out)
    bench.until_final()
    assert bench.state(out) is RunState.CANCELLED


def test_a_run_whose_cluster_was_never_reached_can_be_cancelled(bench: Bench) -> None:
    bench.world.chances = Chances(outage=1.0)
    run = bench.accept(staged=False)
    bench.steps(60)
    bench.ledger.wish_cancel(run)
    bench.step()
    assert bench.state(run) is RunState.CANCELLED
    assert bench.ledger.run(run).results is ResultsState.DELIVERED
