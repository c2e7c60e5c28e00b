"""The suite of batch systems on those that are really here, and what bites only there."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from jobferry_common.errors import CommandFailed, SubmitBusy, SubmitRefused
from jobferry_common.schedulers import SCHEDULERS, scheduler_named
from jobferry_common.schedulers.base import Phase
from jobferry_common.states import Outcome
from tests.conformance.suite import *  # noqa: F403 - the tests of the suite run here
from tests.conformance.system import System
from tests.fake.conftest import SERVICES as CLOUDS
from tests.fake.test_conformance import FAKES
from tests.testbed.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jobferry_common.names import SchedulerId
    from tests.testbed.sge import SgeCluster
    from tests.testbed.slurm import SlurmCluster

_ACCOUNTING = pytest.param("slurm_with_accounting", marks=pytest.mark.needs("slurmdbd"))
_SGE = pytest.param("sge", marks=pytest.mark.needs("sge"))
_SLURM = pytest.param("slurm", marks=pytest.mark.needs("slurm"))


def _slurm(request: pytest.FixtureRequest, fixture: str, directory: Path) -> System:
    cluster: SlurmCluster = request.getfixturevalue(fixture)
    return System(
        scheduler=scheduler_named("Slurm", home="/nowhere"),
        directory=directory,
        environment=cluster.env(),
        hold_flag="#SBATCH --hold",
        time_limit="1m",
    )


def _sge(request: pytest.FixtureRequest, directory: Path) -> System:
    cluster: SgeCluster = request.getfixturevalue("sge")
    return System(
        scheduler=scheduler_named("SGE", home="/nowhere"),
        directory=directory,
        environment=cluster.env(),
        bad_queue="nosuch.q",
        hold_flag="#$ -h",
        time_limit="5s",
        slots=cluster.slots,
    )


@pytest.fixture(params=["shell", _SLURM, _ACCOUNTING, _SGE])
def system(request: pytest.FixtureRequest, directory: Path, tmp_path: Path) -> Iterator[System]:
    """Each batch system in turn."""
    if request.param == "shell":
        scheduler = scheduler_named("Shell", home=f"{tmp_path}/a home/shell", slots=4)
        system = System(scheduler=scheduler, directory=directory, bad_queue=None, slots=4)
    elif request.param == "sge":
        system = _sge(request, directory)
    else:
        system = _slurm(request, request.param, directory)
    yield system
    system.end()


def test_every_scheduler_is_tried() -> None:
    fakes = {fake.scheduler for fake in FAKES.values()}
    assert set(SCHEDULERS) == {"Shell", "Slurm", "SGE", *fakes, *CLOUDS}


@pytest.mark.parametrize("system", [_ACCOUNTING, _SGE], indirect=True)
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
        with pytest.raises(SubmitRefused, match="invalid partition specified: nosuch"):
            system.submit("true", queue_name="nosuch")

    @pytest.mark.needs("slurm")
    def test_why_a_job_waits_is_told(self, system: System) -> None:
        job = system.submit("true", custom_flags=["#SBATCH --hold"])
        wait_until(lambda: system.look().jobs[job].reason == "JobHeldUser", "the reason is told")


class TestSge:
    """What bites only there."""

    @pytest.fixture
    def system(self, request: pytest.FixtureRequest, directory: Path) -> Iterator[System]:
        """SGE."""
        system = _sge(request, directory)
        yield system
        system.end()

    @pytest.mark.needs("sge")
    def test_what_sge_cannot_start_is_told_as_failed_in_its_words(self, system: System) -> None:
        """It keeps such jobs in an error state, and never starts them by itself."""
        missing = replace(system.to_submit("true"), directory=f"{system.directory}/missing")
        array = replace(system.to_submit("true", size=2), directory=f"{system.directory}/missing")
        submits = [system.run(system.scheduler.submit(one)) for one in (missing, array)]
        job, elements = (system.scheduler.parse_submit(done) for done in submits)
        for key in (job, *system.elements(elements, 2)):
            seen = system.ended(key)
            assert seen.outcome is Outcome.FAILED
            assert re.search("error state Eqw.*can't chdir to .*missing", seen.reason)
        held = system.submit("true", custom_flags=["#$ -h"])
        forget = system.scheduler.forget([job, held, system.scheduler.element(elements, 1)])
        assert forget
        assert system.run(forget).exit_code == 0
        assert set(system.look().jobs) == {held, system.scheduler.element(elements, 0)}
        system.cancel(held, elements)
        wait_until(lambda: not system.look().jobs, "they are gone")

    @pytest.mark.needs("sge")
    @pytest.mark.parametrize("code", [99, 100])
    def test_no_exit_code_starts_a_job_again(self, system: System, code: int) -> None:
        seen = system.ended(system.submit(f"echo >> ran; exit {code}"))
        assert (seen.outcome, seen.code) == (Outcome.FAILED, 1)
        assert (system.directory / "ran").read_text() == "\n"

    @pytest.mark.needs("sge")
    def test_without_a_qmaster_nothing_is_known_and_nothing_taken(self, system: System) -> None:
        away = {"SGE_QMASTER_PORT": "1"}
        listed = system.run(system.scheduler.listing(system.user), **away)
        with pytest.raises(CommandFailed, match="send error"):
            system.scheduler.parse_listing(listed, system.facts.cluster)
        done = system.run(system.scheduler.submit(system.to_submit("true")), **away)
        with pytest.raises(SubmitBusy, match="Connection refused"):
            system.scheduler.parse_submit(done)

    @pytest.mark.needs("sge")
    def test_a_limit_of_the_cluster_is_not_for_ever(self, system: System, sge: SgeCluster) -> None:
        held = system.submit("true", custom_flags=["#$ -h"])
        with sge.configured(max_u_jobs="1"), pytest.raises(SubmitBusy, match="only 1 jobs"):
            system.submit("true")
        system.cancel(held)

    @pytest.mark.needs("sge")
    def test_a_cluster_without_a_name_is_told_by_its_qmaster(
        self, system: System, sge: SgeCluster
    ) -> None:
        (sge.directory / "cell/common/cluster_name").unlink()
        try:
            facts = system.scheduler.parse_facts(system.run(system.scheduler.facts()))
            listed = system.run(system.scheduler.listing(system.user))
        finally:
            (sge.directory / "cell/common/cluster_name").write_text(f"{sge.name}\n")
        assert facts.cluster.endswith(f":{sge.directory}/spool/execd")
        assert not system.scheduler.parse_listing(listed, facts.cluster).jobs
