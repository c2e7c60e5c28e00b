"""Runs that clusters share do not go through the depot: who does not see their files says so, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobferry.depot import accept
from jobferry_common.depot.depot import forget_depots
from jobferry_common.depot.ticket import Ticket, unmark
from jobferry_common.errors import StagingError
from jobferry_common.states import JobState
from jobferry_worker.transfer.depot import way_of
from tests.common.ledger.documents import ALPHA
from tests.common.ledger.test_sharing import BETA, BOTH, claim
from tests.worker.transfer.apart import Ferry
from tests.worker.transfer.moving import LINE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jobferry_common.ledger import Ledger
    from jobferry_common.names import RunId
    from tests.testbed.broker import Broker


@pytest.fixture
def ferry(ledger: Ledger, tmp_path: Path, valkey: Broker) -> Iterator[Ferry]:
    """A run of two clusters, whose producer has a depot."""
    world = SharedFerry(ledger, tmp_path, valkey, targets=BOTH)
    yield world
    world.client.close()
    forget_depots()


class SharedFerry(Ferry):
    """A world in two halves whose document names its clusters."""

    def _accept(self) -> RunId:
        self.document, accepted = accept(self.client, self.document, reuse=True)
        return accepted.run


def impatient(ferry: Ferry) -> None:
    timings = ferry.settings.timings.model_copy(update={"grace_seconds": 0.0})
    ferry.settings = ferry.settings.model_copy(update={"timings": timings})


def test_a_cluster_that_does_not_see_the_files_says_so_and_leaves_them_to_others(
    ferry: Ferry,
) -> None:
    assert claim(ferry.ledger, ferry.run, ALPHA, 3) == [0, 1, 2]
    with pytest.raises(StagingError, match="does not go through the depot: give it to one"):
        ferry.stage()
    assert "(cluster = 'alpha')" in ferry.record.reason
    assert ferry.ledger.refused(ferry.run) == {}  # its file system may come yet
    assert claim(ferry.ledger, ferry.run, BETA, 3) == [0, 1, 2]


def test_after_some_time_it_refuses_the_run_for_good(ferry: Ferry) -> None:
    claim(ferry.ledger, ferry.run, ALPHA, 3)
    impatient(ferry)
    with pytest.raises(StagingError):
        ferry.stage()
    assert "by ssh" in ferry.ledger.refused(ferry.run)[ALPHA]
    assert claim(ferry.ledger, ferry.run, ALPHA, 3) == []
    assert ferry.record.refused == ""
    ferry.ledger.refuse(ferry.run, BETA, "neither does this one")
    assert "neither does this one" in ferry.record.refused
    assert ferry.ledger.to_judge(ALPHA) == ferry.ledger.to_judge(BETA) == [ferry.run]


def test_a_cluster_that_sees_them_works_although_another_does_not(ferry: Ferry) -> None:
    claim(ferry.ledger, ferry.run, ALPHA, 1)
    impatient(ferry)
    with pytest.raises(StagingError):
        ferry.stage()
    assert ferry.ledger.refused(ferry.run).keys() == {ALPHA}
    other = ferry.cluster
    other.name = BETA
    ferry.shared = True
    claim(ferry.ledger, ferry.run, BETA, 3)
    ferry.stage()
    assert [ferry.base(f"task.{i}/in").read_text() for i in range(3)] == [LINE] * 3
    assert ferry.ledger.pool(ferry.run, BETA, now=1e12).staged == 3
    assert ferry.record.counts[JobState.PENDING] == 3
    ticket = Ticket.of(ferry.document.header)
    assert ticket is not None
    unmark(str(ferry.source), ticket.nonce)  # as a producer does at the end
    way = way_of(ferry.ledger, other, ferry.run, lambda: None)
    assert way.sees_home


def test_inputs_that_nobody_would_take_are_not_put_into_the_depot(ferry: Ferry) -> None:
    assert ferry.objects() == []
