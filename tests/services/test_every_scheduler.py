"""What every batch system really does with the commands that its module makes."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from jobferry_common.errors import SubmitRefused, UnreadableOutput
from jobferry_common.models.resources import Resources
from jobferry_common.names import SchedulerId, Token
from jobferry_common.schedulers import SCHEDULERS, scheduler_named
from jobferry_common.schedulers.base import Phase
from jobferry_common.states import Outcome
from tests.services.batch_systems import System
from tests.testbed.processes import wait_until

if TYPE_CHECKING:
    from tests.testbed.slurm import SlurmCluster

_ACCOUNTING = pytest.param("slurm_with_accounting", marks=pytest.mark.needs("slurmdbd"))
_SLURM = pytest.param("slurm", marks=pytest.mark.needs("slurm"))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory whose name bites: blanks, quotes, patterns, not ASCII."""
    path = tmp_path / 'it\'s a "dir" 100%j $(x) ö'
    path.mkdir()
    return path


def _slurm(request: pytest.FixtureRequest, fixture: str, directory: Path) -> System:
    cluster: SlurmCluster = request.getfixturevalue(fixture)
    scheduler = scheduler_named("Slurm", home="/nowhere")
    return System(scheduler=scheduler, directory=directory, environment=cluster.env())


@pytest.fixture(params=["shell", _SLURM, _ACCOUNTING])
def system(request: pytest.FixtureRequest, directory: Path, tmp_path: Path) -> System:
    """Each batch system in turn."""
    if request.param != "shell":
        return _slurm(request, request.param, directory)
    scheduler = scheduler_named("Shell", home=f"{tmp_path}/a home/shell", slots=4)
    return System(scheduler=scheduler, directory=directory)


def test_every_scheduler_is_tried_here() -> None:
    assert set(SCHEDULERS) == {"Shell", "Slurm"}


def test_it_says_who_it_is(system: System) -> None:
    assert system.facts.cluster
    assert system.facts.max_array > 100
    assert SchedulerId("999999") not in system.look().jobs


def test_another_cluster_is_not_believed(system: System) -> None:
    done = system.run(system.scheduler.listing(system.user))
    with pytest.raises(UnreadableOutput, match="another"):
        system.scheduler.parse_listing(done, "another-cluster")
    job = system.submit("sleep 100")
    done = system.run(system.scheduler.listing(system.user))
    with pytest.raises(UnreadableOutput, match="another"):
        system.scheduler.parse_listing(done, "another-cluster")
    system.cancel(job)


@pytest.mark.parametrize(
    ("body", "outcome", "code"),
    [
        ("true", Outcome.SUCCEEDED, 0),
        ("exit 3", Outcome.FAILED, 3),
        ("kill -KILL $$", Outcome.FAILED, 137),
    ],
)
def test_the_end_of_a_job_is_told(system: System, body: str, outcome: Outcome, code: int) -> None:
    seen = system.ended(system.submit(body))
    assert (seen.outcome, seen.code) == (outcome, code)


def test_a_job_is_seen_to_run(system: System) -> None:
    job = system.submit("until [ -e go ]; do sleep 0.1; done")
    system.running(job)
    (system.directory / "go").touch()
    assert system.ended(job).outcome is Outcome.SUCCEEDED


def test_each_element_of_an_array_has_its_own_end(system: System) -> None:
    index = system.scheduler.index_expression()
    array = system.submit(f'exit "{index}"', size=5)
    seen = [system.ended(element) for element in system.elements(array, 5)]
    assert [one.code for one in seen] == [0, 1, 2, 3, 4]
    assert len({one.token for one in seen}) == 1
    assert system.look().tokens[seen[0].token or Token("")] == [array]


def test_a_job_knows_the_id_that_the_listing_has(system: System) -> None:
    name = system.scheduler.job_id_expression()
    index = system.scheduler.index_expression()
    write = f'echo "{name} {index or 0}" > "id.{index}"'
    single = system.submit(write)
    array = system.submit(write, size=2)
    assert system.written("id.").split() == [single]
    assert system.written("id.0").split() == [system.scheduler.element(array, 0), "0"]
    assert system.written("id.1").split() == [system.scheduler.element(array, 1), "1"]


def test_what_a_script_prints_is_in_its_log(system: System) -> None:
    system.submit("pwd; echo problem >&2")
    system.submit(f'echo "{system.scheduler.index_expression()}"', size=2)
    assert system.written("log.0") == f"{system.directory}\nproblem\n"
    assert [system.written(f"log.1.{index}") for index in (0, 1)] == ["0\n", "1\n"]


def test_a_job_is_found_by_its_token(system: System) -> None:
    first, second = (Token(f"jf.{uuid4().hex}-1.0a") for _ in range(2))
    job = system.submit("sleep 100", token=first)
    array = system.submit("sleep 100", size=3, token=second)
    listing = system.look()
    assert listing.tokens[first] == [job]
    assert listing.tokens[second] == [array]
    assert listing.jobs[system.scheduler.element(array, 2)].token == second
    system.cancel(job, array)


def _alive(pid: str) -> bool:
    stat = Path(f"/proc/{pid.strip()}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_cancelling_a_job_ends_all_of_its_processes(system: System) -> None:
    job = system.submit("sleep 300 & echo $! > pid; sleep 300")
    pid = system.written("pid")
    system.running(job)
    system.cancel(job)
    assert system.ended(job).outcome is Outcome.CANCELLED
    wait_until(lambda: not _alive(pid), "its process is gone")


def test_cancelled_elements_never_start(system: System) -> None:
    """Slurm drops an element that waits without a trace; it may never be told to run."""
    index = system.scheduler.index_expression()
    cores = system.submit("until [ -e go ]; do sleep 0.1; done", size=32)
    array = system.submit(f'echo > "ran.{index}"', size=5)
    elements = system.elements(array, 5)
    system.cancel(*elements[1:3], elements[4])
    listing = system.look()
    for element in (*elements[1:3], elements[4]):
        seen = listing.jobs.get(element)
        assert seen is None or seen.outcome is Outcome.CANCELLED
    (system.directory / "go").touch()
    for element in (elements[0], elements[3], *system.elements(cores, 32)):
        system.ended(element)
    assert {path.name for path in system.directory.glob("ran.*")} == {"ran.0", "ran.3"}


def test_cancelling_what_has_ended_does_no_harm(system: System) -> None:
    job = system.submit("true")
    system.ended(job)
    system.run(system.scheduler.cancel([job]))
    assert system.ended(job).outcome is Outcome.SUCCEEDED


def test_a_header_is_accepted(system: System) -> None:
    resources = Resources(group_size=1, number_node=2, cpu_per_node=2)
    header = "\n".join(system.scheduler.header(resources))
    submit = system.to_submit("true")
    path = Path(submit.script)
    path.write_text(f"#!/bin/bash -l\n{header}\n{path.read_text()}")
    job = system.scheduler.parse_submit(system.run(system.scheduler.submit(submit)))
    assert system.ended(job).outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize("system", [_ACCOUNTING], indirect=True)
def test_history_tells_what_has_ended(system: System) -> None:
    assert system.facts.history
    single, array = system.submit("exit 3"), system.submit("exit 4", size=3)
    ids = [single, *system.elements(array, 3)]

    def told() -> dict[SchedulerId, int | None]:
        argv = system.scheduler.history(ids, datetime.now(UTC))
        listing = system.scheduler.parse_history(system.run(argv), system.facts.cluster)
        return {key: seen.code for key, seen in listing.jobs.items() if seen.phase is Phase.ENDED}

    wait_until(lambda: len(told()) == 4, "the history knows all of them")
    assert told() == dict(zip(ids, (3, 4, 4, 4), strict=True))


class TestSlurm:
    """What bites only there."""

    @pytest.fixture
    def system(
        self,
        request: pytest.FixtureRequest,
        directory: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> System:
        """Slurm, in an environment that means badly."""
        for name, value in {
            "SBATCH_WAIT": "1",
            "SBATCH_PARTITION": "nosuch",
            "SBATCH_ARRAY_INX": "0-3",
            "SLURM_ARRAY_TASK_ID": "17",
            "SQUEUE_PARTITION": "nosuch",
            "SQUEUE_STATES": "RUNNING",
            "SQUEUE_FORMAT": "%j",
            "SCANCEL_STATE": "PENDING",
            "SLURM_TIME_FORMAT": "relative",
        }.items():
            monkeypatch.setenv(name, value)
        return _slurm(request, "slurm", directory)

    @pytest.mark.needs("slurm")
    def test_the_environment_cannot_turn_the_request_into_another(self, system: System) -> None:
        assert "SBATCH_WAIT" in os.environ
        job = system.submit(f'echo "{system.scheduler.index_expression()}" > index; sleep 300')
        assert system.written("index") == "\n"
        system.running(job)
        system.cancel(job)
        assert system.ended(job).outcome is Outcome.CANCELLED

    @pytest.mark.needs("slurm")
    def test_a_queue_that_is_not_there_is_refused_in_slurms_words(self, system: System) -> None:
        submit = system.to_submit("true")
        path = Path(submit.script)
        path.write_text(f"#!/bin/bash\n#SBATCH --partition nosuch\n{path.read_text()}")
        with pytest.raises(SubmitRefused, match="invalid partition specified: nosuch"):
            system.scheduler.parse_submit(system.run(system.scheduler.submit(submit)))

    @pytest.mark.needs("slurm")
    def test_why_a_job_waits_is_told(self, system: System) -> None:
        submit = system.to_submit("true")
        path = Path(submit.script)
        path.write_text(f"#!/bin/bash\n#SBATCH --hold\n{path.read_text()}")
        job = system.scheduler.parse_submit(system.run(system.scheduler.submit(submit)))
        wait_until(lambda: system.look().jobs[job].reason == "JobHeldUser", "the reason is told")
