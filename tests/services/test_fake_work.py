"""Whole runs through a real worker on the fake batch systems: their commands are on the worker's PATH."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from jobferry_common.states import JobState, RunState
from tests.fake.commands import env_with, install
from tests.fake.engine import Engine
from tests.fake.test_conformance import FAKES
from tests.testbed.processes import wait_until
from tests.testbed.work import COPY, PATIENCE, Work, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.testbed.fleet import Fleet

pytestmark = pytest.mark.needs("valkey")

#: of each, the line that ten minutes become, and the first index of an array
HEADERS: Final[Mapping[str, tuple[str, int]]] = {
    "PBS": ("#PBS -l walltime=00:10:00", 0),
    "Torque": ("#PBS -l walltime=00:10:00", 0),
    "LSF": ("#BSUB -W 10", 1),
    "JH_UniScheduler": ("#JSUB -W 10", 1),
    "Fugaku": ('#PJM -L "elapse=00:10:00"', 0),
}
#: what is said at a limit, and while nobody answers; the fakes of JH and PJM have no such faults yet
FAULTS: Final[Mapping[str, tuple[str, str]]] = {
    "PBS": ("Maximum number", "cannot connect to server"),
    "Torque": ("Maximum number", "cannot connect to server"),
    "LSF": ("threshold reached", "LIM is down"),
}


@pytest.fixture(params=HEADERS)
def kind(request: pytest.FixtureRequest) -> str:
    """The batch system, one after the other."""
    return str(request.param)


@pytest.fixture
def engine(kind: str, tmp_path: Path) -> Iterator[Engine]:
    """Its cluster."""
    fake, engine = FAKES[kind], Engine(tmp_path / "cluster")
    engine.configure(queues=["main"], groups=["main"], **fake.config)
    install(tmp_path / "bin", fake.module.__name__, fake.module.COMMANDS, home=engine.home)
    yield engine
    engine.stop()


@pytest.fixture
def make_fleet(
    kind: str,
    engine: Engine,
    make_local_fleet: Callable[..., Fleet],
    tmp_path: Path,
) -> Callable[..., Fleet]:
    """A function that starts a fleet on it."""
    assert engine.home.is_dir()

    def make(**keywords: Any) -> Fleet:
        return make_local_fleet("hpc", kind, env_with(tmp_path / "bin"), **keywords)

    return make


def _script_of(engine: Engine) -> str:
    return "\n".join(path.read_text() for path in (engine.home / "jobs").glob("*.sh"))


def test_work_is_done_as_an_array(
    make_fleet: Callable[..., Fleet], engine: Engine, tmp_path: Path, kind: str
) -> None:
    line, first = HEADERS[kind]
    work = Work(tmp_path, [COPY] * 5)
    asked: dict[str, Any] = {"time_limit": "10m"}
    if line.startswith("#PBS"):
        asked["custom_flags"] = ["#PBS -v MINE=1"]
    handle = make_fleet().submit(work.submission(cluster="hpc", resources=asked))
    assert handle.result(PATIENCE).ok
    assert work.starts() == [1] * 5
    assert work.everything_came_back()
    assert {job.indices for job in engine.jobs().values()} == {tuple(range(first, first + 5))}
    assert re.search(rf"^{re.escape(line)}$", _script_of(engine), re.M)


def test_a_failure_is_retried_and_told_with_its_code(
    make_fleet: Callable[..., Fleet], engine: Engine, tmp_path: Path
) -> None:
    work = Work(tmp_path, [COPY, "exit 3"])
    handle = make_fleet().submit(work.submission(cluster="hpc"))
    assert handle.wait(PATIENCE).state is RunState.FAILED
    assert work.starts() == [1, 4]
    [failure] = handle.result(PATIENCE, checked=False).failures
    assert (failure.task, failure.code) == (1, 3)
    assert len(engine.jobs()) == 4


def test_what_runs_and_what_waits_is_cancelled(
    make_fleet: Callable[..., Fleet], engine: Engine, tmp_path: Path
) -> None:
    engine.configure(slots=2)
    work = Work(tmp_path, ["sleep 300"] * 4)
    handle = make_fleet().submit(work.submission(cluster="hpc"))
    until(handle, JobState.RUNNING, 2)
    handle.cancel()
    assert handle.wait(PATIENCE).state is RunState.CANCELLED
    assert {one.phase for one in engine.elements()} == {"done"}
    # one that waits may start in the slot of one that is ended just before it
    assert sum(work.starts()) >= 2
    assert max(work.starts()) == 1


@pytest.mark.parametrize("number", [1, 4])
def test_a_worker_that_is_killed_after_its_submit_adopts_by_token(
    make_fleet: Callable[..., Fleet], engine: Engine, tmp_path: Path, number: int
) -> None:
    fleet = make_fleet(worker=False)
    doomed = fleet.start_worker(JOBFERRY_KILL_AT="after-submit")
    work = Work(tmp_path, ["until [ -e go ]; do sleep 0.1; done; cat in > out"] * number)
    handle = fleet.submit(work.submission(cluster="hpc"))
    assert doomed.wait(PATIENCE) == -9
    fleet.start_worker()
    until(handle, JobState.RUNNING, number)
    for directory in tmp_path.glob("remote/*/t*"):
        (directory / "go").touch()
    assert handle.result(PATIENCE).ok
    assert work.starts() == [1] * number
    assert len(engine.jobs()) == 1


@pytest.mark.parametrize("kind", [*FAULTS, "JH_UniScheduler"], indirect=True)
def test_an_answer_that_was_lost_is_found_by_the_token(
    make_fleet: Callable[..., Fleet], engine: Engine, tmp_path: Path
) -> None:
    engine.configure(lost=True)
    work = Work(tmp_path, [COPY] * 3)
    handle = make_fleet().submit(work.submission(cluster="hpc"))
    assert handle.result(PATIENCE).ok
    assert work.starts() == [1] * 3
    assert len(engine.jobs()) == 1


@pytest.mark.parametrize("kind", FAULTS, indirect=True)
def test_a_limit_and_an_outage_are_waited_for(
    make_fleet: Callable[..., Fleet], engine: Engine, tmp_path: Path, kind: str
) -> None:
    limit, outage = FAULTS[kind]
    engine.configure(full=True)
    fleet = make_fleet()
    work = Work(tmp_path, ["sleep 8; cat in > out"] * 2)
    handle = fleet.submit(work.submission(cluster="hpc"))
    ledger = fleet.ledger()
    wait_until(
        lambda: any(limit in one.reason for _, one in ledger.jobs(handle.id)),
        "the limit is told",
    )
    engine.configure(full=False)
    until(handle, JobState.RUNNING, 2)
    engine.configure(down=True)
    wait_until(lambda: outage in fleet.worker.text(), "it was asked in vain")
    engine.configure(down=False)
    assert handle.result(PATIENCE).ok
    assert work.starts() == [1] * 2
