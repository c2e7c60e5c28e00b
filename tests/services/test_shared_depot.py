"""Clusters that share a run and no file system: neither with the producer nor with each other."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.depot.books import Standings
from jobferry_common.names import ClusterName, RunId
from jobferry_common.states import JobState, ResultsState, RunState
from tests.services.two_hosts import PATIENCE, TwoHosts, depot_at
from tests.testbed.fleet import BIN
from tests.testbed.namespaces import hidden
from tests.testbed.processes import Process, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

pytestmark = [pytest.mark.needs("valkey", "namespaces")]

NAMES = ("alpha", "beta")
LARGE = os.urandom(1_000_000)
JOBS = 16


class ThreeHosts(TwoHosts):
    """A producer and two workers; each of the three sees its own directory alone."""

    def __init__(self, directory: Path, depot: Mapping[str, Any]) -> None:
        super().__init__(directory, depot)
        self.workers: dict[str, Process] = {}

    def serve(self, depot: Mapping[str, Any]) -> Process:
        """Start a worker for each cluster."""
        return [self.serve_at(name, depot) for name in NAMES][-1]

    def serve_at(self, name: str, depot: Mapping[str, Any]) -> Process:
        """Start the worker of one cluster, and wait until it is ready."""
        place = self.far / name
        (place / "root").mkdir(parents=True, exist_ok=True)
        profile = {
            "batch_type": "Shell",
            "context_type": "Local",
            "remote_root": str(place / "root"),
            "commands_per_second": 50.0,
            "max_running_jobs": 2,
        }
        self._configure(place, depot, clusters={name: profile})
        others = [self.far / other for other in NAMES if other != name]
        for other in others:
            other.mkdir(exist_ok=True)
        unseen = hidden(self.home, self.directory / "store", *others)
        command = (str(BIN / "jobferry"), "worker", "--cluster", name, "--beat", "-l", "INFO")
        log = self.directory / f"{name}.{len(list(self.directory.glob('*.log')))}.log"
        worker = Process(
            [*unseen, *command], log=log, env=self._environment(place), cwd=self.directory
        )
        self.workers[name] = worker
        wait_until(lambda: "ready." in worker.text() or not worker.alive(), "the worker is ready")
        assert worker.alive(), worker.text()
        return worker

    def __exit__(self, *_: object) -> None:
        for worker in self.workers.values():
            worker.stop()
        self.broker.stop()

    def log(self) -> str:
        """Return what the workers said last."""
        return "".join(worker.text()[-3000:] for worker in self.workers.values())

    def kill(self, name: str) -> None:
        """Kill a worker at once."""
        self.workers[name].signal(signal.SIGKILL)
        self.workers[name].kill()

    def done_by(self) -> dict[str, int]:
        """Return how many jobs each cluster finished."""
        found = self.ledger().by_cluster(self.record().id)
        return {name: found.get(ClusterName(name), {}).get(JobState.FINISHED, 0) for name in NAMES}

    def submit(self) -> str:
        """Submit work over both clusters; return the run."""
        command = "sleep 0.3; cat in > out; cat ../large >> out; echo $PWD >> ../said"
        more = {"forward_common_files": ["large"], "backward_common_files": ["said"]}
        self.write(*[command] * JOBS, cluster=list(NAMES), **more)
        (self.home / "work" / "large").write_bytes(LARGE)
        return self.producer("submit", "submission.json", "--exit-on-submit").stdout.strip()

    def all_came(self) -> bool:
        """Tell whether each result is what its task wrote."""
        return all(self.came(number) for number in range(JOBS))

    def came(self, number: int) -> bool:
        """Tell whether the result of one is."""
        found = self.result(f"t{number}/out").read_bytes()
        return found == f"input {number}\n".encode() + LARGE


@pytest.fixture(params=["file", "redis"])
def hosts(request: pytest.FixtureRequest, short_path: Path) -> Iterator[ThreeHosts]:
    """Three hosts and a depot between them."""
    with ThreeHosts(short_path, depot_at(request.param, short_path, None)) as hosts:
        yield hosts


@pytest.fixture
def folder(short_path: Path) -> Iterator[ThreeHosts]:
    """Three hosts with a shared folder between them."""
    with ThreeHosts(short_path, depot_at("file", short_path, None)) as hosts:
        yield hosts


def test_both_work_one_of_them_is_killed_and_all_comes_back(hosts: ThreeHosts) -> None:
    run = hosts.submit()
    wait_until(lambda: min(hosts.done_by().values()) >= 1, "both have worked", limit=PATIENCE)
    hosts.kill("beta")
    hosts.serve_at("beta", {})
    hosts.producer("watch", run)
    assert (hosts.record().state, hosts.all_came()) == (RunState.FINISHED, True)
    assert sum(hosts.done_by().values()) == JOBS
    said = [path.read_text() for path in hosts.result(".").glob("said*")]
    assert [len({Path(line).parents[2] for line in one.split()}) for one in said] == [1, 1]
    assert sum(len(one.split()) for one in said) == JOBS
    wait_until(lambda: hosts.record().results is ResultsState.CLEANED, "the clusters are cleaned")
    wait_until(lambda: hosts.remains() == [], "nothing is left in the depot")
    left = [[path.name for path in (hosts.far / name / "root").iterdir()] for name in NAMES]
    assert left == [[".jobferry"], [".jobferry"]]
    assert list(hosts.far.glob(f"*/root/.jobferry/depot/{run}*")) == []


def test_what_a_cluster_had_is_done_elsewhere_once_it_was_given_up(folder: ThreeHosts) -> None:
    run = folder.submit()
    standings = Standings(folder.ledger())
    wait_until(
        lambda: standings.of(RunId(run), ClusterName("beta")).own > 0,
        "beta has put results into the depot",
        limit=PATIENCE,
    )
    folder.kill("beta")
    folder.producer("abandon", run, "--cluster", "beta")
    lack = folder.ledger().lack(RunId(run))
    folder.producer("watch", run, code=1 if lack else 0)
    record = folder.record()
    assert (record.state, record.counts[JobState.FINISHED]) == (RunState.FINISHED, JOBS)
    back = [n for n in range(JOBS) if folder.result(f"t{n}/out").exists()]
    left = JOBS - len(back)
    assert left <= (int(lack.split()[2]) if lack else 0)
    assert all(folder.came(number) for number in back)
    assert len(back) > folder.done_by()["alpha"]
