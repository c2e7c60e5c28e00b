"""A shared run that ended untouched, or that a broker forgot and that is presented again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobferry_common.ledger.sharing import ClaimWaits
from jobferry_common.names import ClusterName
from jobferry_common.states import ResultsState, RunState
from tests.common.ledger.documents import ALPHA, document, fence_of

if TYPE_CHECKING:
    from jobferry_common.ledger import Ledger

BETA = ClusterName("beta")


def test_results_of_a_shared_run_that_nobody_worked_on_stay_delivered(ledger: Ledger) -> None:
    run = ledger.accept(document(tasks=2, targets=(ALPHA, BETA))).run
    ledger.change_run(run, state=RunState.CANCELLED)
    assert ledger.run(run).results is ResultsState.DELIVERED
    ledger.bring_again(run)
    assert ledger.run(run).results is ResultsState.DELIVERED


def test_of_a_shared_run_that_is_presented_again_nothing_is_claimed_before_each_cluster_has_spoken(
    ledger: Ledger,
) -> None:
    for name in (ALPHA, BETA):
        ledger.announce(name, account="a@b", batch_type="Slurm", context_type="Local", worker="w")
    run = ledger.accept(document(tasks=2, targets=(ALPHA, BETA)), again=True).run
    fence = fence_of(ledger)
    with pytest.raises(ClaimWaits):
        ledger.claim(run, ALPHA, 2, fence=fence, now=10.0)
    for name in (ALPHA, BETA):
        assert ledger.unanswered(name, broker=fence.broker) == [run]
        ledger.answer(run, name, broker=fence.broker)
    assert ledger.claim(run, ALPHA, 2, fence=fence, now=10.0) == [0, 1]
