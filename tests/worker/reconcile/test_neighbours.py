"""Two workers of one cluster, on two hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobferry_common.states import JobState
from jobferry_worker.reconcile import killpoints
from jobferry_worker.reconcile.advance import advance
from tests.simulation.fakes import cluster_of

if TYPE_CHECKING:
    from jobferry_worker.reconcile.advance import Report
    from tests.simulation.bench import Bench

_S = JobState


def test_workers_of_a_cluster_on_two_hosts_exclude_each_other(bench: Bench) -> None:
    run = bench.accept()
    other = cluster_of(bench.world, bench.settings, account="sim@another")
    reports: list[Report] = []

    def meanwhile(point: str) -> None:
        if point == "before-files":
            reports.append(advance(bench.ledger, other, bench.settings, bench.world.clock))

    with killpoints.trapped(meanwhile):
        bench.advance()
    assert [report.changed for report in reports] == [0]
    assert bench.counts(run) == {_S.QUEUED: 3}
    assert bench.world.commands.count("submit") == 1


def test_what_one_worker_read_back_another_need_not(bench: Bench) -> None:
    bench.world.longest = 1000.0
    bench.accept()
    bench.steps(30)
    other = cluster_of(bench.world, bench.settings, account="sim@another")
    before = bench.world.commands.count("list")
    advance(bench.ledger, other, bench.settings, bench.world.clock)
    # its own first look is one listing; reading back would have been another
    assert bench.world.commands.count("list") == before + 1
