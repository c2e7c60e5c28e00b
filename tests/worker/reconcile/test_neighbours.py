"""Two workers of one cluster, on two hosts; and two clusters that share a root."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobferry_common.names import ClusterName
from jobferry_common.states import JobState, RunState
from jobferry_worker.reconcile import killpoints
from jobferry_worker.reconcile.advance import advance
from tests.simulation.fakes import ALPHA, ROOT, cluster_of
from tests.simulation.world import World

if TYPE_CHECKING:
    from jobferry_worker.cluster import Cluster
    from jobferry_worker.reconcile.advance import Report
    from tests.simulation.bench import Bench

_S = JobState
BETA = ClusterName("beta")


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


def neighbour(world: World, bench: Bench) -> Cluster:
    """Return another cluster with the same root."""
    return cluster_of(world, bench.settings, name=BETA)


def test_clusters_that_share_a_root_leave_each_others_hints_alone(bench: Bench) -> None:
    other = neighbour(bench.world, bench)
    bench.world.longest = 3.0
    run = bench.accept()
    bench.advance()
    bench.world.commands.clear()
    bench.world.tick(6.0)
    advance(bench.ledger, other, bench.settings, bench.world.clock)
    hints = [path for path in bench.world.files if path.startswith(f"{ROOT}/.jobferry/spool/")]
    assert len(hints) == 3
    assert all(f"/{ALPHA}/" in path for path in hints)
    bench.advance()
    assert bench.state(run) is RunState.FINISHED
    assert "list" not in bench.world.commands
