"""The files of claimed jobs: only theirs, and back to the pool with what cannot be brought."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobferry_common.errors import StagingError
from jobferry_common.scripts.layout import id_file
from jobferry_common.states import JobState, ResultsState, RunState
from jobferry_worker.cluster import open_cluster
from jobferry_worker.staging.local import Local
from tests.common.ledger.documents import ALPHA, move
from tests.common.ledger.test_sharing import BETA, BOTH, claim, reserve, take
from tests.worker.transfer.moving import LINE, World, raising

if TYPE_CHECKING:
    from jobferry_common.ledger import Ledger
    from jobferry_worker.cluster import Cluster


@pytest.fixture
def world(ledger: Ledger, tmp_path: Path) -> World:
    """A run of three jobs that alpha shares with beta."""
    return World(ledger, tmp_path, forward_common=("common",), targets=BOTH)


def held(world: World) -> tuple[int, int]:
    """Return how many jobs alpha has claimed without their files, and with them."""
    pool = world.ledger.pool(world.run, ALPHA, now=1e12)
    return pool.claimed, pool.staged


def test_only_the_files_of_claimed_jobs_are_brought(world: World) -> None:
    claim(world.ledger, world.run, ALPHA, 2)
    world.stage()
    assert [world.base(f"task.{i}").exists() for i in range(3)] == [True, True, False]
    assert world.base("common").read_text() == LINE
    assert held(world) == (0, 2)
    claim(world.ledger, world.run, ALPHA, 2)
    world.stage()
    assert world.base("task.2/in").read_text() == LINE
    assert held(world) == (0, 3)


def test_what_cannot_be_brought_here_now_goes_to_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim(world.ledger, world.run, ALPHA, 2)
    with monkeypatch.context() as patch:
        patch.setattr(Local, "stage", raising(errno.ENOSPC))
        with pytest.raises(StagingError):
            world.stage()
    assert held(world) == (0, 0)
    assert world.run in world.cluster.memory.unstageable
    assert claim(world.ledger, world.run, BETA, 3) == [0, 1, 2]


def test_a_cluster_that_does_not_see_the_producers_directory_fails_nothing(world: World) -> None:
    claim(world.ledger, world.run, ALPHA, 3)
    shutil.move(world.source, world.source.parent / "elsewhere")
    timings = world.settings.timings.model_copy(update={"grace_seconds": 0.0})
    world.settings = world.settings.model_copy(update={"timings": timings})
    with pytest.raises(StagingError, match="there is no directory"):
        world.stage()
    assert held(world) == (0, 0)
    assert world.record.counts[JobState.PENDING] == 3


def test_a_file_that_exists_nowhere_fails_the_run(world: World) -> None:
    claim(world.ledger, world.run, ALPHA, 1)
    (world.source / "task.0" / "in").unlink()
    world.stage()
    states = [record.state for _, record in world.ledger.jobs(world.run)]
    assert states == [JobState.FAILED, JobState.CANCELLED, JobState.CANCELLED]


def test_results_of_one_cluster_are_brought_and_cleaned_while_another_still_works(
    world: World,
) -> None:
    ledger, run = world.ledger, world.run
    claim(ledger, run, ALPHA, 1)
    world.stage()
    reserve(ledger, run, ALPHA, [0])
    world.base("task.0/out").write_text("out of 0\n")
    move(ledger, run, 0, JobState.EXITED, JobState.FINISHED)
    take(ledger, run, BETA, 1)
    reserve(ledger, run, BETA, [1])
    world.collect()
    assert (world.source / "task.0" / "out").read_text() == "out of 0\n"
    ledger.wish_cancel(run)
    move(ledger, run, 2, JobState.CANCELLED)
    world.end(RunState.FAILED)
    world.collect()  # beta's job outlives the run
    assert ledger.places(run) == {ALPHA: "cleaned", BETA: "remote"}
    assert not world.base().exists()
    assert ledger.collectable(ALPHA) == []
    seen = [world.record.results]
    ledger.place_results(run, BETA, "delivered")
    seen.append(world.record.results)
    assert seen == [ResultsState.REMOTE, ResultsState.DELIVERED]


def test_results_that_stayed_at_a_cluster_come_and_its_directory_goes_once_it_is_back(
    world: World,
) -> None:
    ledger, run = world.ledger, world.run
    claim(ledger, run, ALPHA, 2)
    world.stage()
    reserve(ledger, run, ALPHA, [0, 1])
    world.base("task.0/out").write_text("out of 0\n")
    move(ledger, run, 0, JobState.EXITED, JobState.FINISHED)
    ledger.abandon(run, ALPHA)
    assert "results of 1 jobs stay at alpha" in ledger.lack(run)
    world.collect()
    assert world.base().exists()
    assert ledger.come_back(run, ALPHA)
    assert ledger.lack(run) == ""
    take(ledger, run, BETA, 2)
    reserve(ledger, run, BETA, [1, 2])
    for job in (1, 2):
        move(ledger, run, job, JobState.EXITED, JobState.FINISHED)
    world.end()
    world.collect()
    assert (world.source / "task.0" / "out").read_text() == "out of 0\n"
    assert not world.base().exists()
    assert ledger.places(run) == {ALPHA: "cleaned", BETA: "remote"}


def test_of_a_run_that_is_delivered_only_the_directory_goes_once_the_cluster_is_back(
    world: World,
) -> None:
    ledger, run = world.ledger, world.run
    claim(ledger, run, ALPHA, 1)
    world.stage()
    reserve(ledger, run, ALPHA, [0])
    ledger.abandon(run, ALPHA)
    take(ledger, run, BETA, 3)
    reserve(ledger, run, BETA, [0, 1, 2])
    for job in range(3):
        move(ledger, run, job, JobState.EXITED, JobState.FINISHED)
    world.end()
    ledger.place_results(run, BETA, "delivered")
    world.base("task.0/out").write_text("of the attempt that was given up\n")
    assert world.record.results is ResultsState.DELIVERED
    assert ledger.come_back(run, ALPHA)
    world.collect()
    assert not world.base().exists()
    assert not world.back("task.0/out")
    assert ledger.collectable(ALPHA) == []


def test_what_was_given_up_is_left_alone(world: World) -> None:
    claim(world.ledger, world.run, ALPHA, 1)
    world.stage()
    world.ledger.abandon(world.run, ALPHA)
    world.ledger.wish_cancel(world.run)
    for job in range(3):
        move(world.ledger, world.run, job, JobState.CANCELLED)
    world.end(RunState.CANCELLED)
    world.collect()
    assert world.base("task.0/in").exists()
    assert world.ledger.collectable(ALPHA) == []


@pytest.fixture
def beta(world: World, tmp_path: Path) -> Cluster:
    """Another cluster, whose root is the same directory by another path."""
    by_link = tmp_path / "root of beta"
    by_link.symlink_to(world.cluster.root)
    mark = Path(id_file(world.cluster.root))
    mark.parent.mkdir(exist_ok=True)
    mark.write_text("one\n")
    for name in BOTH:
        world.ledger.remember(f"root of {name}", broker="one")
    profile = world.cluster.profile.model_copy(update={"remote_root": str(by_link)})
    return open_cluster(BETA, profile, world.settings)


def test_where_clusters_share_a_root_the_last_of_them_removes_the_directory(
    world: World, beta: Cluster
) -> None:
    ledger, run, alpha = world.ledger, world.run, world.cluster
    for job, cluster in enumerate((alpha, beta)):
        world.cluster = cluster
        claim(ledger, run, cluster.name, 1)
        world.stage()
        reserve(ledger, run, cluster.name, [job])
        world.base(f"task.{job}/out").write_text(f"out of {job}\n")
        move(ledger, run, job, JobState.EXITED, JobState.FINISHED)
    ledger.wish_cancel(run)
    move(ledger, run, 2, JobState.CANCELLED)
    world.end()
    for cluster, other in ((alpha, "remote"), (beta, "cleaned")):
        assert world.base().exists()
        world.cluster = cluster
        world.collect()
        assert ledger.places(run)[BETA] == other
    assert (world.source / "task.1/out").read_text() == "out of 1\n"
    assert ledger.places(run)[ALPHA] == "cleaned"
    assert not world.base().exists()
