"""What a run leaves behind when it is cleaned, and what many runs leave in a worker process: nothing that grows."""

from __future__ import annotations

from itertools import count
from operator import sub
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.testbed.processes import wait_until
from tests.testbed.work import COPY, PATIENCE, Work

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.testbed.fleet import Fleet

pytestmark = pytest.mark.needs("valkey")

#: what stays on purpose: no token may return, the last events of all, what a worker says of itself, Celery's own
ON_PURPOSE = (
    "submissions",
    "removed",
    "events",
    "settled",
    "fences",
    "turn",
    "accounts",
    "waiting",
)
#: runs of a round, rounds in which it has to stop growing, what may come and go between two rounds
_RUNS, _ROUNDS, _SLACK = 40, 6, 3
COMES_AND_GOES = ("lease:", "mq:", "worker:", "tick:", "beat", "cluster:", "clusters", "version")


@pytest.fixture(params=["Local", "LazyLocal"])
def fleet(
    request: pytest.FixtureRequest,
    fleet_of: Callable[..., Fleet],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Fleet:
    monkeypatch.chdir(tmp_path)
    root = "local_root" if request.param == "LazyLocal" else "remote_root"
    where = tmp_path if request.param == "LazyLocal" else tmp_path / "remote"
    profile = {"batch_type": "Shell", "context_type": request.param, root: str(where)}
    return fleet_of({"here": profile})


def keys(fleet: Fleet) -> set[str]:
    """Return the keys at the broker that tell of runs."""
    names = {str(key).removeprefix("jobferry:") for key in fleet.broker.client().keys("jobferry:*")}
    return {
        name for name in names if name not in ON_PURPOSE and not name.startswith(COMES_AND_GOES)
    }


def files(directory: Path) -> set[str]:
    """Return all that is in a directory, without what the batch system keeps of itself."""
    found = {str(path.relative_to(directory)) for path in directory.rglob("*")}
    return {name for name in found if "/shell" not in f"/{name}"}


def test_clean_removes_all_traces_from_broker_and_cluster(fleet: Fleet, tmp_path: Path) -> None:
    first = fleet.submit(Work(tmp_path, [COPY], name="first").submission(cluster="here"))
    assert first.result(PATIENCE).ok
    first.clean()
    work = Work(tmp_path, [COPY, "cat in > out"], name="second")
    known, there = keys(fleet), files(tmp_path)
    handle = fleet.submit(work.submission(cluster="here"))
    assert handle.result(PATIENCE).ok
    handle.clean()
    wait_until(lambda: keys(fleet) <= known, "no key is left", limit=PATIENCE)
    results = {f"second/t{n}/{name}" for n in (0, 1) for name in ("out", "log", "err")}
    new = {name for name in files(tmp_path) - there if name not in results}
    # for some days the cluster knows that the run is gone, against a broker that remembers less
    assert {Path(name).name for name in new} - {"second.starts"} == {f"{handle.id}.gone"}


def test_a_worker_does_not_grow_with_the_runs_it_has_done(fleet: Fleet, tmp_path: Path) -> None:
    worker, names = fleet.worker, count()

    def some() -> None:
        works = [Work(tmp_path, [COPY], name=f"w{next(names)}") for _ in range(_RUNS)]
        handles = [fleet.submit(work.submission(cluster="here")) for work in works]
        assert all(handle.result(PATIENCE).ok for handle in handles)

    def size() -> tuple[int, int, int]:
        process = Path(f"/proc/{worker.pid}")
        clients = fleet.broker.client().client_list()
        counts = [len(list((process / name).iterdir())) for name in ("fd", "task")]
        return counts[0], counts[1], len(clients)

    some()
    sizes = [size()]
    # threads begin when they are first needed, each with its connections: how soon is the machine's matter
    while len(sizes) == 1 or max(map(sub, sizes[-1], sizes[-2])) > _SLACK:
        assert len(sizes) < _ROUNDS, f"files, threads and connections grow with the runs: {sizes}"
        some()
        sizes.append(size())
