"""A run that goes on where an earlier one stopped, task by task: with real files, and with real processes."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobferry_common.document import Document, Header, Policy, TaskSpec
from jobferry_common.models.cluster import ClusterProfile
from jobferry_common.models.resources import Resources
from jobferry_common.names import ClusterName, SubmissionId
from jobferry_common.settings import Settings, Timings
from jobferry_common.states import JobState, ResultsState, RunState
from jobferry_worker import transfer
from jobferry_worker.cluster import open_cluster
from jobferry_worker.reconcile.advance import advance
from tests.common.ledger.documents import change_to, fence_of, finish, reserve
from tests.worker.transfer.moving import World

if TYPE_CHECKING:
    from jobferry_common.ledger import Ledger
    from jobferry_common.names import RunId

HERE = ClusterName("here")
SETTINGS = Settings(
    timings=Timings(look_seconds=0.5, look_max_seconds=1.0, retry_seconds=0.1, grace_seconds=3.0)
)


def fail_but(world: World, *tasks: int) -> None:
    """Let the only job of a run fail, after these of its three tasks succeeded."""
    for task in tasks:
        world.base(f"task.{task}/out").write_text(f"out of {task}\n")
        Path(world.layout.done(task)).write_text("1 2\n")
    reserve(world.ledger, world.run, [0])
    for state in (JobState.EXITED, JobState.FAILED):
        change = change_to(world.ledger, world.run, 0, state)
        world.ledger.change(world.run, [change], fence=fence_of(world.ledger))
    world.end(RunState.FAILED, "job 0 failed")


def failed(ledger: Ledger, directory: Path, *tasks: int, **header: Any) -> World:
    """Return a world whose run failed after these tasks; its results are back and its directory is removed."""
    world = World(ledger, directory, group=3, policy=Policy(clean="always"), **header)
    world.stage()
    fail_but(world, *tasks)
    world.collect()
    assert world.record.results is ResultsState.CLEANED
    return world


def again(world: World) -> int:
    accepted = world.ledger.accept(world.document)
    world.run = accepted.run
    return accepted.taken_over


def test_tasks_of_a_failed_job_are_taken_over_once_their_results_are_back(
    ledger: Ledger, tmp_path: Path
) -> None:
    world = World(ledger, tmp_path, group=3)
    world.stage()
    fail_but(world, 0, 2)
    world.collect()
    assert again(world) == 2
    assert world.record.taken_over == 2
    assert world.record.counts[JobState.PENDING] == 1


def test_what_was_not_brought_is_not_taken_over(ledger: Ledger, tmp_path: Path) -> None:
    world = World(ledger, tmp_path, group=3)
    world.stage()
    fail_but(world, 0, 2)
    assert again(world) == 0


def test_a_task_whose_result_lacks_is_done_again(ledger: Ledger, tmp_path: Path) -> None:
    world = World(ledger, tmp_path, group=3)
    world.stage()
    for task in (0, 2):
        Path(world.layout.done(task)).write_text("1 2\n")
    fail_but(world, 2)
    world.collect()
    assert again(world) == 1


def test_their_marks_stand_before_a_job_may_go(ledger: Ledger, tmp_path: Path) -> None:
    world = failed(ledger, tmp_path, 0, 2)
    again(world)
    world.stage()
    assert [Path(world.layout.done(task)).exists() for task in range(3)] == [True, False, True]
    started, ended = Path(world.layout.done(0)).read_text().split()
    assert float(started) == float(ended) > 0


def test_a_task_whose_result_the_producer_removed_is_done_again(
    ledger: Ledger, tmp_path: Path
) -> None:
    world = failed(ledger, tmp_path, 0, 2)
    (world.source / "task.2" / "out").unlink()
    again(world)
    world.stage()
    assert [Path(world.layout.done(task)).exists() for task in range(3)] == [True, False, False]
    assert (world.record.taken_over, world.record.staged) == (1, True)
    assert world.ledger.taken_tasks(world.run, [0]) == {0}


def test_their_results_do_not_lack_in_the_new_run(ledger: Ledger, tmp_path: Path) -> None:
    world = failed(ledger, tmp_path, 0, 2, backward_common=("common.out",))
    (world.source / "common.out").write_text("of tasks that were taken over\n")
    again(world)
    world.stage()
    world.base("task.1/out").write_text("out of 1\n")
    Path(world.layout.done(1)).write_text("1 2\n")
    finish(ledger, world.run, 0)
    world.end()
    world.collect()
    assert (world.record.reason, world.record.results) == ("", ResultsState.CLEANED)
    assert [world.back(f"task.{task}/out") for task in range(3)] == [True] * 3


def test_what_was_taken_over_is_taken_over_again(ledger: Ledger, tmp_path: Path) -> None:
    world = failed(ledger, tmp_path, 0)
    again(world)
    world.end(RunState.CANCELLED)
    assert again(world) == 1


def test_beside_a_task_that_is_done_again_in_its_directory_all_is_done_again(
    ledger: Ledger, tmp_path: Path
) -> None:
    world = failed(ledger, tmp_path, 0, 2)
    tasks = world.document.tasks
    within = (tasks[0], replace(tasks[1], path="task.0/deeper"), tasks[2])
    (world.source / "task.0" / "deeper").mkdir()
    world.document = replace(world.document, tasks=within)
    assert again(world) == 1
    assert world.ledger.taken_tasks(world.run, [0]) == {2}


class There:
    """A Shell cluster with a directory of its own, a producer's directory, and all that a worker does."""

    def __init__(self, ledger: Ledger, directory: Path) -> None:
        self.ledger = ledger
        self.source = directory / "home"
        profile = ClusterProfile(
            batch_type="Shell", context_type="Local", remote_root=str(directory / "root")
        )
        (directory / "root").mkdir()
        self.cluster = open_cluster(HERE, profile, SETTINGS)

    def document(self, *commands: str) -> Document:
        tasks = tuple(
            TaskSpec(position=i, command=text, path=f"t{i}", backward=("out",), key=f"{i}")
            for i, text in enumerate(commands)
        )
        for task in tasks:
            (self.source / task.path).mkdir(parents=True, exist_ok=True)
        header = Header(
            submission=SubmissionId("abcdef012345"),
            owner="me@here",
            cluster=HERE,
            source=str(self.source),
            resources=Resources(group_size=0),
            policy=Policy(retry_count=0),
            tasks=len(tasks),
        )
        return Document(header=header, tasks=tasks)

    def carry_out(self, run: RunId) -> None:
        end = time.monotonic() + 60
        while self.ledger.run(run).results not in {ResultsState.DELIVERED, ResultsState.CLEANED}:
            assert time.monotonic() < end, self.ledger.run(run)
            report = advance(self.ledger, self.cluster, SETTINGS)
            for one in report.stage:
                transfer.stage(self.ledger, self.cluster, SETTINGS, one)
            for one in report.collect:
                transfer.collect(self.ledger, self.cluster, SETTINGS, one)
            time.sleep(0.05)


def test_a_new_run_does_only_the_tasks_that_are_left(ledger: Ledger, short_path: Path) -> None:
    there = There(ledger, short_path)
    count = short_path / "count"
    right = f"echo $PWD >> {count}; echo done > out"
    wrong = f"test -e {short_path}/mended && {{ {right}; }}"
    work = there.document(right, wrong, right)
    first = ledger.accept(work).run
    there.carry_out(first)
    assert ledger.run(first).state is RunState.FAILED
    (short_path / "mended").touch()
    second = ledger.accept(work)
    assert second.taken_over == 2
    there.carry_out(second.run)
    assert (ledger.run(second.run).state, ledger.run(second.run).reason) == ("finished", "")
    assert [Path(line).name for line in count.read_text().split()] == ["t0", "t2", "t1"]
    assert [(there.source / f"t{i}/out").read_text() for i in range(3)] == ["done\n"] * 3
