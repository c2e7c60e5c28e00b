"""A worker process of a simulation: passes and moves, as messages and reports ask for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobferry_common.errors import JobferryError
from jobferry_worker import transfer
from jobferry_worker.reconcile.advance import advance
from tests.simulation.engine.actors import Process
from tests.simulation.engine.broker import SimLedger
from tests.simulation.engine.far import SimHost
from tests.simulation.fakes import cluster_of

if TYPE_CHECKING:
    from jobferry_common.names import ClusterName, RunId
    from jobferry_worker.cluster import Cluster
    from jobferry_worker.reconcile.advance import Report
    from tests.simulation.engine.simulation import Simulation

#: seconds within which a worker looks again by itself
_SOON = 5.0
_MOVES = {"stage": transfer.stage, "collect": transfer.collect, "clean": transfer.clean}


class Worker(Process):
    """One worker process; it serves one cluster or several."""

    def __init__(self, name: str, simulation: Simulation, served: tuple[ClusterName, ...]) -> None:
        super().__init__(name)
        self.simulation = simulation
        self.served = served
        self.ledger = SimLedger(simulation.broker, simulation.fate, self.clock)
        self._busy: set[tuple[str, ...]] = set()
        self.clusters = {name: self._cluster(name) for name in served}

    def clock(self) -> float:
        return self.simulation.now + self.skew

    def take(self, task: str, cluster: ClusterName, run: RunId | None = None) -> None:
        """Do what a message asks for, unless this process is at it."""
        what = (task, cluster, run or "")
        if what in self._busy or not self.alive:
            return
        self._busy.add(what)
        label = f"{self.name} {task} {cluster if run is None else run}"
        self.simulation.spawn(label, self, lambda: self._do(what))

    def _do(self, what: tuple[str, ...]) -> None:
        task, cluster, run = what
        served = self.clusters[cluster]  # type: ignore[index]
        try:
            if task == "advance":
                self._follow(served, self._pass(served))
            else:
                _MOVES[task](self.ledger, served, self.simulation.settings, run)  # type: ignore[arg-type]
        except JobferryError as error:
            self.simulation.fate.tell(f"failed: {type(error).__name__}: {error}")
        finally:
            self._busy.discard(what)

    def _pass(self, cluster: Cluster) -> Report:
        simulation = self.simulation
        return advance(
            self.ledger, cluster, simulation.settings, self.clock, lambda: simulation.now
        )

    def _follow(self, cluster: Cluster, report: Report) -> None:
        """Ask for what a pass found to be moved, as the data lane does."""
        send = self.simulation.send
        for run in report.stage:
            send("stage", cluster.name, run)
        for run in report.collect:
            send("collect", cluster.name, run)
        for name in report.others:
            send("advance", name)
        if report.next_look is not None and report.next_look < _SOON:
            self.simulation.wake(cluster.name, report.next_look)

    def _cluster(self, name: ClusterName) -> Cluster:
        simulation = self.simulation
        site = simulation.sites[name]
        cluster = cluster_of(
            site.world, simulation.settings, name=name, account=f"sim@{name}", **site.profile
        )
        cluster.host = SimHost(site.world, simulation.fate)
        return cluster
