"""Work through broker, worker, beat and a real SGE, and back."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.states import JobState, Outcome, RunState
from tests.testbed.processes import wait_until
from tests.testbed.work import COPY, PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.testbed.fleet import Fleet
    from tests.testbed.sge import SgeCluster
    from tests.testbed.work import Work

pytestmark = pytest.mark.needs("sge", "valkey")

#: the queue of the cluster, as `Work.submission` takes it
HERE: dict[str, Any] = {"cluster": "delta", "queue": "all.q"}


@pytest.fixture
def make_sge_fleet(make_local_fleet: Callable[..., Fleet], sge: SgeCluster) -> Callable[..., Fleet]:
    """A function that starts a fleet on the SGE cluster delta."""
    return partial(make_local_fleet, "delta", "SGE", sge.env())


def test_an_array_goes_there_and_comes_back(
    make_sge_fleet: Callable[..., Fleet], sge: SgeCluster, make_work: Callable[..., Work]
) -> None:
    fleet = make_sge_fleet()
    work = make_work(*[COPY] * 12)
    result = fleet.submit(work.submission(**HERE)).result(PATIENCE)
    assert result.run.state is RunState.FINISHED
    assert work.everything_came_back()
    assert work.starts() == [1] * 12
    [submit] = sge.wrappers.calls("qsub")
    assert submit[submit.index("-t") + 1] == "1-12"


@pytest.mark.parametrize("code", [3, 99, 100])
def test_a_task_that_fails_is_tried_again_and_then_told(
    code: int, make_sge_fleet: Callable[..., Fleet], make_work: Callable[..., Work]
) -> None:
    """To SGE, 99 would mean to start the job again for ever, and 100 to keep it."""
    fleet = make_sge_fleet()
    work = make_work(COPY, f"echo no minimum found >&2; exit {code}")
    submission = work.submission(**HERE, continue_on_failure=True)
    result = fleet.submit(submission).result(PATIENCE, checked=False)
    assert result.run.state is RunState.FAILED
    [failure] = result.failures
    assert (failure.task, failure.code) == (1, code)
    assert "no minimum found" in "".join(failure.stderr)
    assert work.starts() == [1, 4]
    assert work.outputs() == ["input 0\n", None]


def test_a_run_is_cancelled(
    make_sge_fleet: Callable[..., Fleet], sge: SgeCluster, make_work: Callable[..., Work]
) -> None:
    fleet = make_sge_fleet()
    work = make_work(*["sleep 300"] * 3)
    handle = fleet.submit(work.submission(**HERE))
    until(handle, JobState.RUNNING, 3)
    handle.cancel()
    assert handle.wait(PATIENCE).state is RunState.CANCELLED
    wait_until(lambda: not sge.queue(), "the queue is empty")
    assert work.starts() == [1, 1, 1]


@pytest.mark.parametrize("point", ["after-submit"])
def test_what_a_killed_worker_had_submitted_is_found_by_its_token(
    point: str,
    make_sge_fleet: Callable[..., Fleet],
    sge: SgeCluster,
    make_work: Callable[..., Work],
) -> None:
    fleet = make_sge_fleet(worker=False)
    doomed = fleet.start_worker(JOBFERRY_KILL_AT=point)
    work = make_work(*[COPY] * 4)
    handle = fleet.submit(work.submission(**HERE))
    assert doomed.wait(PATIENCE) == -9
    fleet.start_worker()
    assert handle.result(PATIENCE).ok
    assert work.starts() == [1] * 4
    assert work.everything_came_back()
    assert len(sge.wrappers.calls("qsub")) == 1


def test_a_queue_that_sge_refuses_fails_in_its_words(
    make_sge_fleet: Callable[..., Fleet], make_work: Callable[..., Work]
) -> None:
    fleet = make_sge_fleet()
    work = make_work(COPY)
    handle = fleet.submit(work.submission(cluster="delta", queue="nosuch.q"))
    result = handle.result(PATIENCE, checked=False)
    assert 'unknown queue "nosuch.q"' in result.failures[0].what


def test_a_job_that_somebody_deletes_is_told_as_cancelled(
    make_sge_fleet: Callable[..., Fleet], sge: SgeCluster, make_work: Callable[..., Work]
) -> None:
    fleet = make_sge_fleet(profile={"retry_count": 0})
    work = make_work("sleep 300")
    handle = fleet.submit(work.submission(**HERE))
    until(handle, JobState.RUNNING, 1)
    sge.command("qdel", *sge.queue())
    result = handle.result(PATIENCE, checked=False)
    assert result.failures[0].outcome is Outcome.CANCELLED


def test_a_job_goes_to_no_host_that_it_excludes(
    make_sge_fleet: Callable[..., Fleet], sge: SgeCluster, make_work: Callable[..., Work]
) -> None:
    fleet = make_sge_fleet()
    [host] = sge.command("qconf", "-sel").split()
    elsewhere = make_work(COPY, name="elsewhere")
    other = elsewhere.submission(**HERE, resources={"exclude_nodes": ["n3", "n17"]})
    nowhere = make_work(COPY, name="nowhere")
    none = nowhere.submission(**HERE, resources={"exclude_nodes": [host, "n3"]})
    waits = fleet.submit(none)
    until(waits, JobState.QUEUED, 1)
    assert fleet.submit(other).result(PATIENCE).ok  # it came later, and went before
    assert nowhere.starts() == [0]
    waits.cancel()
    assert waits.wait(PATIENCE).state is RunState.CANCELLED
