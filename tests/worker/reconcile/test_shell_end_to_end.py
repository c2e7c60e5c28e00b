"""The whole worker's core on this machine: real files, real processes, the Shell batch system, a real ledger."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.document import Document, Header, Policy, TaskSpec
from jobferry_common.models.cluster import ClusterProfile
from jobferry_common.models.resources import Resources
from jobferry_common.names import ClusterName, SubmissionId
from jobferry_common.scripts.layout import spool
from jobferry_common.settings import Settings, Timings
from jobferry_common.states import JobState, Outcome, RunState
from jobferry_worker.cluster import open_cluster
from jobferry_worker.reconcile.advance import advance

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jobferry_common.ledger import Ledger
    from jobferry_common.names import RunId

HERE = ClusterName("here")
SETTINGS = Settings(
    timings=Timings(look_seconds=0.5, look_max_seconds=1.0, retry_seconds=0.1, grace_seconds=3.0)
)


class Here:
    """A Shell cluster in a temporary directory, tasks in place."""

    def __init__(self, ledger: Ledger, directory: Path) -> None:
        self.ledger = ledger
        self.directory = directory
        self.restart()

    def restart(self) -> None:
        profile = ClusterProfile(
            batch_type="Shell", context_type="LazyLocal", local_root=str(self.directory)
        )
        self.cluster = open_cluster(HERE, profile, SETTINGS)

    def accept(self, *commands: str, group: int = 1, **policy: Any) -> RunId:
        tasks = tuple(
            TaskSpec(position=i, command=command, path=f"task.{i}", key=f"{i}")
            for i, command in enumerate(commands)
        )
        for task in tasks:
            (self.directory / task.path).mkdir(exist_ok=True)
        header = Header(
            submission=SubmissionId("abcdef012345"),
            owner="me@here",
            cluster=HERE,
            source=str(self.directory),
            in_place=True,
            resources=Resources(group_size=group),
            policy=Policy(**policy),
            tasks=len(tasks),
        )
        run = self.ledger.accept(Document(header=header, tasks=tasks)).run
        self.ledger.change_run(run, staged=True)
        return run

    def until(self, done: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not done():
            assert time.monotonic() < end, self.ledger.flight(HERE)
            advance(self.ledger, self.cluster, SETTINGS)
            time.sleep(0.05)

    def until_final(self, run: RunId) -> None:
        self.until(lambda: self.ledger.run(run).state.is_final)


@pytest.fixture
def here(ledger: Ledger, short_path: Path) -> Here:
    return Here(ledger, short_path)


def test_tasks_run_and_their_records_end_the_jobs(here: Here) -> None:
    run = here.accept("echo one > out", "echo two > out", "echo three > out")
    here.until_final(run)
    assert here.ledger.run(run).state is RunState.FINISHED
    assert [(here.directory / f"task.{i}/out").read_text() for i in range(3)] == [
        "one\n",
        "two\n",
        "three\n",
    ]
    hints = spool(str(here.directory), here.ledger.id, here.cluster.name)
    assert here.cluster.host.names(hints) == []


def test_a_failed_task_is_tried_again_and_only_that(here: Here) -> None:
    run = here.accept(
        "echo ran >> log.txt",
        "echo ran >> log.txt; test -e second || { touch second; exit 7; }",
        group=2,
    )
    here.until_final(run)
    assert here.ledger.run(run).state is RunState.FINISHED
    assert (here.directory / "task.0/log.txt").read_text() == "ran\n"
    assert (here.directory / "task.1/log.txt").read_text() == "ran\nran\n"


def test_a_task_that_always_fails_fails_the_run_with_its_code(here: Here) -> None:
    run = here.accept("exit 7", retry_count=1)
    here.until_final(run)
    record = here.ledger.job(run, 0)
    assert (record.state, record.code, record.tries) == (JobState.FAILED, 7, 2)
    assert "exit code 7" in record.reason
    assert here.ledger.run(run).state is RunState.FAILED


def test_a_restarted_worker_adopts_its_jobs(here: Here) -> None:
    run = here.accept("while [ ! -e go ]; do sleep 0.1; done; echo ran >> log.txt")
    here.until(lambda: here.ledger.run(run).counts[JobState.RUNNING] == 1)
    here.restart()
    (here.directory / "task.0/go").touch()
    here.until_final(run)
    assert (here.directory / "task.0/log.txt").read_text() == "ran\n"
    assert here.ledger.job(run, 0).attempt == 1


def test_cancelling_a_run_ends_its_processes(here: Here) -> None:
    run = here.accept("sleep 1000", "sleep 1000")
    here.until(lambda: here.ledger.run(run).counts[JobState.RUNNING] > 0)
    here.ledger.wish_cancel(run)
    here.until_final(run)
    assert here.ledger.run(run).state is RunState.CANCELLED
    assert {record.outcome for _, record in here.ledger.jobs(run)} <= {Outcome.CANCELLED, None}
