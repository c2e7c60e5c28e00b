"""A command of the batch system that is not there: the cluster is paused with words at the first sight of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobferry_common.states import JobState, RunState
from tests.simulation.fakes import ALPHA

if TYPE_CHECKING:
    from tests.simulation.bench import Bench


@pytest.mark.parametrize("command", ["facts", "list", "submit"])
def test_the_first_failure_pauses_and_says_what_where_and_the_next_step(
    bench: Bench, command: str
) -> None:
    bench.world.lacking = {command}
    run = bench.accept()
    bench.advance()
    record = bench.ledger.cluster(ALPHA)
    assert record.paused_by == "jobferry"
    for words in (record.account, f"fake-{command}: not found", "install it, or correct PATH"):
        assert words in record.paused
    assert bench.counts(run) == {JobState.PENDING: 3}
    bench.world.lacking = set()
    bench.until_final()
    assert bench.state(run) is RunState.FINISHED
    assert bench.ledger.cluster(ALPHA).paused == ""
    assert {record.tries for _, record in bench.ledger.jobs(run)} == {1}


def test_what_is_out_is_looked_after_where_there_is_nothing_to_submit_with(bench: Bench) -> None:
    first = bench.accept()
    bench.advance()
    bench.world.lacking = {"submit"}
    second = bench.accept()
    bench.steps(300)
    assert bench.state(first) is RunState.FINISHED
    assert bench.counts(second) == {JobState.PENDING: 3}


def test_of_many_runs_one_tries_and_ever_more_rarely(bench: Bench) -> None:
    bench.world.lacking = {"submit"}
    runs = [bench.accept() for _ in range(4)]
    bench.advance()
    assert bench.world.commands.count("submit") == 1
    bench.steps(600)
    assert 4 <= bench.world.commands.count("submit") <= 20
    bench.world.lacking = set()
    bench.until_final()
    assert {bench.state(run) for run in runs} == {RunState.FINISHED}


def test_an_operators_word_is_not_overwritten(bench: Bench) -> None:
    bench.advance()
    bench.ledger.set_cluster(ALPHA, paused="", paused_by="operator")
    bench.world.lacking = {"submit"}
    bench.accept()
    bench.advance()
    assert bench.ledger.cluster(ALPHA).paused == ""
