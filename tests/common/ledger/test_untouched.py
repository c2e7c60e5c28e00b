"""A run that nobody took up can be ended by its producer; one that somebody may have taken up cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobferry_common.states import JobState, ResultsState, RunState
from tests.common.ledger.documents import document, reserve

if TYPE_CHECKING:
    from jobferry_common.ledger import Ledger


def test_a_run_that_nobody_took_up_is_ended(ledger: Ledger) -> None:
    run = ledger.accept(document(tasks=3)).run
    assert ledger.end_untouched(run)
    record = ledger.run(run)
    assert (record.state, record.results) == (RunState.CANCELLED, ResultsState.DELIVERED)
    assert record.counts[JobState.CANCELLED] == 3
    assert ledger.accept(document(tasks=3)).run != run


def test_a_run_that_was_begun_is_left_to_its_worker(ledger: Ledger) -> None:
    staged, submitted = ledger.accept(document(1)).run, ledger.accept(document(2)).run
    ledger.change_run(staged, staged=True)
    ledger.change_run(submitted, staged=True)
    reserve(ledger, submitted, [0])
    assert not ledger.end_untouched(staged)
    assert not ledger.end_untouched(submitted)


def test_a_broker_that_may_have_forgotten_the_beginning_ends_nothing(ledger: Ledger) -> None:
    run = ledger.accept(document()).run
    ledger.ask("HSET", ledger.key("run", run), "born", "the broker before")
    assert not ledger.end_untouched(run)
    assert ledger.run(run).state is RunState.ACCEPTED
