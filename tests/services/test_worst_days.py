"""The broker is gone with all its data, or remembers an earlier minute: nothing is lost, nothing runs twice."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from jobferry_common.states import JobState, ResultsState, RunState
from tests.services.worst import Copy, Gated, lose_everything, profile_of
from tests.testbed.processes import wait_until
from tests.testbed.sshd import SshServer
from tests.testbed.work import PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from jobferry import Handle
    from jobferry_common.names import RunId
    from tests.testbed.fleet import Fleet
    from tests.testbed.slurm import SlurmCluster

pytestmark = pytest.mark.needs("slurm", "sshd", "valkey")

PLACES = (
    "Slurm Local",
    "Slurm LazyLocal",
    "Shell Local",
    "Shell LazyLocal",
    "Slurm SSH",
)


@pytest.fixture
def place(request: pytest.FixtureRequest) -> str:
    """Batch type and context; indirect."""
    return str(request.param)


@pytest.fixture
def fleet(
    place: str,
    fleet_of: Callable[..., Fleet],
    slurm: SlurmCluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    home: Path,
) -> Iterator[Fleet]:
    """A fleet on one cluster "here", at work."""
    monkeypatch.chdir(tmp_path)
    batch, context = place.split()
    with ExitStack() as stack:
        remote = {}
        if context == "SSH":
            env = {"SLURM_CONF": str(slurm.directory / "slurm.conf")}
            server = stack.enter_context(SshServer(tmp_path / "sshd", env=env))
            (home / ".ssh").mkdir(mode=0o700)
            text = f"[{server.address}]:{server.port} {server.public('ed25519')}"
            (home / ".ssh/known_hosts").write_text(text)
            where = {"hostname": server.address, "port": server.port}
            remote = {**where, "key_filename": str(server.key)}
        profile = profile_of(batch, context, tmp_path, **remote)
        yield fleet_of({"here": profile}, env=slurm.env())


in_every_place = pytest.mark.parametrize("place", PLACES, indirect=True)


def half_way(fleet: Fleet, work: Gated) -> Handle:
    """Have a run of eight: two ended while no worker was there to see it, two run, two are queued, two wait."""
    handle = fleet.submit(work.submission("here"))
    wait_until(lambda: sum(work.count("start")) == 4, "four run", limit=PATIENCE)
    until(handle, JobState.PENDING, 2)
    until(handle, JobState.SUBMITTING, 0)
    return handle


def run_on(fleet: Fleet, run: RunId) -> None:
    """Wait until a run ended and its results are back."""
    ledger = fleet.ledger()

    def is_back() -> bool:
        record = ledger.run(run)
        return record.state.is_final and record.results not in ("remote", "depot")

    wait_until(is_back, f"{run} ended", limit=PATIENCE)
    assert ledger.run(run).state is RunState.FINISHED


@in_every_place
@pytest.mark.parametrize("how", ["flushed", "another"])
def test_a_ledger_is_made_again_from_what_stands_on_the_cluster(
    fleet: Fleet, tmp_path: Path, how: str
) -> None:
    work, later = Gated(tmp_path, 8), Gated(tmp_path, 2, name="staged")
    run = half_way(fleet, work).id
    fleet.jobferry("cluster", "pause", "here")
    waits = fleet.submit(later.submission("here"))
    wait_until(lambda: waits.status().staged, "its files are there", limit=PATIENCE)
    fleet.worker.kill()
    work.open(*_running(work)[:2])
    wait_until(lambda: sum(work.count("end")) == 2, "two ended unseen", limit=PATIENCE)
    lose_everything(fleet, how)
    fleet.start_worker()
    done = fleet.jobferry("cluster", "recover", "here", "--json")
    assert done.returncode == 0, done
    assert {row["run"] for row in json.loads(done.stdout)} == {run, waits.id}
    work.open()
    later.open()
    run_on(fleet, run)
    run_on(fleet, waits.id)
    assert work.ran_once()
    assert later.ran_once()


def _running(work: Gated) -> list[int]:
    starts, ends = work.count("start"), work.count("end")
    return [number for number in range(work.tasks) if starts[number] > ends[number]]


@in_every_place
def test_the_same_submission_again_goes_on_where_it_was(fleet: Fleet, tmp_path: Path) -> None:
    work = Gated(tmp_path, 8)
    half_way(fleet, work)
    work.open(*_running(work)[:2])
    lose_everything(fleet, "another")
    again = fleet.submit(work.submission("here"))
    work.open()
    assert again.result(PATIENCE).ok
    assert work.ran_once()


@pytest.mark.parametrize("place", ["Shell Local", "Slurm SSH"], indirect=True)
def test_the_same_submission_again_finds_its_run_under_another_number(
    fleet: Fleet, tmp_path: Path
) -> None:
    """The second run is in flight; an empty broker would call the third submission the first run."""
    work = Gated(tmp_path, 2)
    first = fleet.submit(work.submission("here"))
    work.open()
    assert first.result(PATIENCE).ok
    for gate in work.gates.iterdir():
        gate.unlink()
    second = fleet.submit(work.submission("here"))
    assert second.id.endswith("-2")
    wait_until(lambda: work.count("start") == [2, 2], "the second run is at work", limit=PATIENCE)
    lose_everything(fleet, "another")
    third = fleet.submit(work.submission("here"))
    work.open()
    assert third.result(PATIENCE).ok
    assert third.id == second.id
    assert (work.count("start"), work.count("end")) == ([2, 2], [2, 2])


class _Minute:
    """What happens in the minute that a broker forgets: jobs end, runs come, are cancelled, delivered and cleaned."""

    def __init__(self, fleet: Fleet, directory: Path) -> None:
        self.directory = directory
        self.work, self.doomed = (Gated(directory, n, name=f"w{n}") for n in (8, 1))
        self.short, self.new = Gated(directory, 2, name="short"), Gated(directory, 2, name="new")
        self.gone = self._begun(fleet, self.short, 2)
        self.ended = self._begun(fleet, self.doomed, 1)
        self.run = self._begun(fleet, self.work, 1).id

    @staticmethod
    def _begun(fleet: Fleet, work: Gated, number: int) -> Handle:
        handle = fleet.submit(work.submission("here"))
        wait_until(lambda: sum(work.count("start")) == number, "it has begun", limit=PATIENCE)
        return handle

    def passes(self, fleet: Fleet) -> RunId:
        """Let it pass; return the run that came in it."""
        self.short.open()
        assert self.gone.result(PATIENCE).ok
        self.gone.clean()
        self.ended.cancel()
        ledger = fleet.ledger()
        wait_until(lambda: ledger.run(self.ended.id).state.is_final, "cancelled", limit=PATIENCE)
        self.work.open(0, 1, 2)
        wait_until(lambda: sum(self.work.count("end")) == 3, "three ended", limit=PATIENCE)
        later = fleet.submit(self.new.submission("here")).id
        wait_until(lambda: ledger.run(later).staged, "a new run came", limit=PATIENCE)
        return later


@pytest.mark.parametrize("place", ["Slurm Local", "Shell LazyLocal", "Slurm SSH"], indirect=True)
def test_a_copy_of_the_broker_that_is_older_doubles_and_loses_nothing(
    fleet: Fleet, tmp_path: Path
) -> None:
    minute = _Minute(fleet, tmp_path)
    copy = Copy(fleet, tmp_path)
    later = minute.passes(fleet)
    copy.put_back()
    minute.work.open()
    minute.new.open()
    ledger = fleet.ledger()
    wait_until(lambda: ledger.holds(later), "the new run is known again", limit=PATIENCE)
    run_on(fleet, minute.run)
    run_on(fleet, later)
    both = (minute.ended.id, minute.gone.id)
    wait_until(lambda: all(ledger.run(one).state.is_final for one in both), "over", limit=PATIENCE)
    assert ledger.run(minute.ended.id).state is RunState.CANCELLED
    assert ledger.run(minute.gone.id).results is ResultsState.CLEANED
    assert all(one.ran_once() for one in (minute.work, minute.short, minute.new))
    assert (minute.doomed.count("start"), minute.doomed.count("end")) == ([1], [0])
