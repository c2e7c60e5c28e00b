"""What every batch system really does with the commands that its module makes: one suite for real and fake ones.

    from tests.conformance.suite import *        # in a test module that has a fixture `system`

A fixture `directory` gives the directory whose name bites.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobferry_common.errors import BadInput, SubmitRefused, UnreadableOutput
from jobferry_common.names import SchedulerId
from jobferry_common.schedulers.base import Phase
from jobferry_common.states import Outcome
from tests.conformance.system import a_token
from tests.testbed.processes import wait_until

if TYPE_CHECKING:
    from tests.conformance.system import System


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory whose name bites: blanks, quotes, patterns, not ASCII."""
    path = tmp_path / 'it\'s a "dir" 100%j $(x) ö'
    path.mkdir()
    return path


def test_it_says_who_it_is(system: System) -> None:
    assert system.facts.cluster
    assert (system.facts.max_array > 100) is system.arrays
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
    if not system.arrays:
        assert system.facts.max_array == 1
        with pytest.raises(SubmitRefused, match="array"):
            system.submit("true", size=5)
        return
    array = system.submit(f'exit "{index}"', size=5)
    seen = [system.ended(element) for element in system.elements(array, 5)]
    assert [one.code for one in seen] == [0, 1, 2, 3, 4]
    assert [one.outcome for one in seen] == [Outcome.SUCCEEDED, *[Outcome.FAILED] * 4]


def test_a_job_knows_the_id_that_the_listing_has(system: System) -> None:
    name = system.scheduler.job_id_expression()
    index = system.scheduler.index_expression()
    write = f'echo "{name} {index or 0}" > "id.{index}"'
    single = system.submit(write)
    assert system.written("id.").split()[0] == single
    if not system.arrays:
        return
    array = system.submit(write, size=2)
    assert system.written("id.0").split() == [system.scheduler.element(array, 0), "0"]
    assert system.written("id.1").split() == [system.scheduler.element(array, 1), "1"]


def test_what_a_script_prints_is_in_its_log(system: System) -> None:
    job = system.submit("pwd; echo problem >&2")
    printed = {"log.0": f"{system.directory}\nproblem\n"}
    if system.arrays:
        system.submit(f'echo "{system.scheduler.index_expression()}"', size=2)
        logs = [system.element_log.format("log.1", index + system.first) for index in (0, 1)]
        printed |= {logs[0]: "0\n", logs[1]: "1\n"}
    for log, text in printed.items():
        if system.report:
            system.written_within(log, f"\n{text}")
        else:
            if system.apart:  # it comes back once the job has ended
                system.ended(job)
            assert system.written(log) == text


def test_a_job_is_found_by_its_token(system: System) -> None:
    first, second = a_token(), a_token()
    job = system.submit("sleep 100", token=first)
    size = 3 if system.arrays else None
    other = system.submit("sleep 100", size=size, token=second)
    listing = system.look()
    assert listing.tokens[first] == [job]
    assert listing.tokens[second] == [other]
    last = system.scheduler.element(other, 2) if size else other
    assert listing.jobs[last].token == second
    system.cancel(job, other)


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
    if not system.arrays:
        assert system.facts.max_array == 1
        return
    index = system.scheduler.index_expression()
    cores = system.submit("until [ -e go ]; do sleep 0.1; done", size=system.slots)
    array = system.submit(f'echo > "ran.{index}"', size=5)
    elements = system.elements(array, 5)
    system.cancel(*elements[1:3], elements[4])
    listing = system.look()
    for element in (*elements[1:3], elements[4]):
        seen = listing.jobs.get(element)
        assert seen is None or seen.outcome is Outcome.CANCELLED
    (system.directory / "go").touch()
    for element in (elements[0], elements[3], *system.elements(cores, system.slots)):
        system.ended(element)
    assert {path.name for path in system.directory.glob("ran.*")} == {"ran.0", "ran.3"}


def test_cancelling_what_has_ended_does_no_harm(system: System) -> None:
    job = system.submit("true")
    system.ended(job)
    system.cancel(job)
    assert system.ended(job).outcome is Outcome.SUCCEEDED


def test_a_header_is_accepted(system: System) -> None:
    job = system.submit("true", number_node=system.nodes, cpu_per_node=2)
    assert system.ended(job).outcome is Outcome.SUCCEEDED


def test_a_queue_that_is_not_there_is_refused(system: System) -> None:
    if system.bad_queue is None:
        assert system.submit("true", queue_name="nosuch")
        return
    with pytest.raises(SubmitRefused):
        system.submit("true", queue_name=system.bad_queue)


def test_a_held_job_waits(system: System) -> None:
    if system.hold_flag is None:
        assert system.scheduler.name in {"Shell", "DistributedShell", "Bohrium", "OpenAPI"}
        return
    held = system.submit("echo > ran", custom_flags=[system.hold_flag])
    other = system.submit("true")
    system.ended(other)
    seen = system.look().jobs[held]
    assert seen.phase is Phase.QUEUED
    system.cancel(held)
    wait_until(lambda: _is_over(system, held), "the held job is gone")
    assert not (system.directory / "ran").exists()


def _is_over(system: System, job: SchedulerId) -> bool:
    seen = system.seen(job)
    return seen is None or seen.phase is Phase.ENDED


def test_a_job_that_waits_is_cancelled(system: System) -> None:
    cores = system.submit_many("until [ -e go ]; do sleep 0.1; done", system.slots)
    if system.apart:  # jobs are brought there side by side: none waits before the others run
        system.running(*cores)
    job = system.submit("echo > ran")
    assert system.phase(job) is Phase.QUEUED
    system.cancel(job)
    wait_until(lambda: _is_over(system, job), "the job is gone from the queue")
    (system.directory / "go").touch()
    for core in cores:
        system.ended(core)
    seen = system.seen(job)
    assert seen is None or seen.outcome is Outcome.CANCELLED
    assert not (system.directory / "ran").exists()


def test_a_time_limit_ends_a_job(system: System) -> None:
    if system.time_limit is None:
        with pytest.raises(BadInput, match="time_limit"):
            system.submit("true", time_limit="1h")
        return
    job = system.submit("sleep 300", time_limit=system.time_limit)
    assert system.ended(job).outcome is Outcome.TIMEOUT


def test_a_job_that_vanished_is_not_told(system: System) -> None:
    if system.forget is None:
        assert SchedulerId("999999") not in system.past(SchedulerId("999999"))
        return
    job, other = system.submit("sleep 300"), system.submit("sleep 300")
    system.running(job, other)
    system.forget(job)
    wait_until(lambda: job not in system.look().jobs, "it is not told any more")
    assert system.phase(other) is Phase.RUNNING
    assert job not in system.past(job, other)
    system.cancel(other)


def test_many_jobs_are_told_at_once(system: System) -> None:
    """As arrays where there are any, else one by one."""
    size = min(system.many, system.facts.max_array)
    whole = system.many // size if size > 1 else 0
    jobs = [job for _ in range(whole) for job in system.submit_many("exit 0", size)]
    jobs += [system.submit("exit 0") for _ in range(system.many - len(jobs))]

    def all_told() -> bool:
        told = dict(system.look().jobs)
        gone = [job for job in jobs if job not in told]
        told |= system.past(*gone) if gone else {}
        return all(job in told and told[job].phase is Phase.ENDED for job in jobs)

    wait_until(all_told, "all of them ended", limit=150)
    last = system.seen(jobs[-1])
    assert last
    assert last.outcome is Outcome.SUCCEEDED


def test_a_submit_whose_answer_was_lost_is_found_by_its_token(system: System) -> None:
    token = a_token()
    system.run(system.scheduler.submit(system.to_submit("sleep 300", token=token)))
    (found,) = system.look().tokens[token]
    system.running(found)
    system.cancel(found)
    assert system.ended(found).outcome is Outcome.CANCELLED
