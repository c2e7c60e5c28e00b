"""A whole run through a real worker on a fake YARN: no job sees the worker's directories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.states import RunState
from tests.fake import hadoop
from tests.fake.commands import env_with, install
from tests.fake.engine import Engine
from tests.testbed import bridged
from tests.testbed.processes import wait_until
from tests.testbed.work import COPY, PATIENCE, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.testbed.fleet import Fleet

pytestmark = pytest.mark.needs("valkey")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """A YARN with an HDFS."""
    engine = Engine(tmp_path / "cluster")
    engine.configure(queues=["main", "default"])
    install(tmp_path / "bin", hadoop.__name__, hadoop.COMMANDS, home=engine.home)
    yield engine
    engine.stop()


@pytest.fixture
def make_fleet(
    engine: Engine,
    fleet_of: Callable[..., Fleet],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Fleet]:
    """A function that starts a fleet on it."""
    monkeypatch.chdir(tmp_path)
    profile = {
        "batch_type": "DistributedShell",
        "context_type": "HDFSContext",
        "remote_root": "/user/ann/jobferry",
        "retry_count": 1,
        "remote_profile": {"bridge_root": str(tmp_path / "bridge root")},
    }
    env = hadoop.environment(engine.home, env_with(tmp_path / "bin"))

    def make(**keywords: Any) -> Fleet:
        return fleet_of({"yarn": profile}, env=env, **keywords)

    return make


def test_work_is_done_where_nobody_sees_the_root(
    make_fleet: Callable[..., Fleet], engine: Engine, tmp_path: Path
) -> None:
    work = Work(
        tmp_path,
        [f"{COPY}; cat ../share/table >> out; pwd > where; echo $REMOTE_ROOT >> where"] * 3,
    )
    (work.base / "share").mkdir()
    (work.base / "share/table").write_text("common\n")
    submission = work.submission(
        cluster="yarn",
        resources={
            "memory_per_node": "3GB",
            "envs": {"MINE": "1"},
            "prepend_script": ["echo ready"],
        },
        forward_common_files=["share/table"],
        clean=False,
    )
    handle = make_fleet().submit(submission)
    assert handle.result(PATIENCE).ok
    assert work.starts() == [1] * 3
    assert [(work.base / f"t{one}/out").read_text() for one in range(3)] == [
        f"input {one}\ncommon\n" for one in range(3)
    ]
    root = str(tmp_path / "bridge root")
    seen = [path.read_text() for path in (tmp_path / "bridge root").rglob("where")]
    assert len(seen) == 3
    assert not [where for where in seen if root in where]
    assert all(str(engine.home / "containers") in where for where in seen)
    options = [job.more["options"] for job in engine.jobs().values()]
    assert [one["container_memory"] for one in options] == [["3072"]] * 3
    assert all(root not in path.read_text() for path in (engine.home / "jobs").glob("*.sh"))


def test_the_test_of_a_cluster_goes_over_the_bridge(make_fleet: Callable[..., Fleet]) -> None:
    done = make_fleet().jobferry("cluster", "test", "yarn")
    assert done.returncode == 0, done.stdout
    assert "Hadoop 3.3.6, no arrays" in done.stdout


def test_all_that_was_stored_is_removed_in_the_end(
    make_fleet: Callable[..., Fleet], engine: Engine, tmp_path: Path
) -> None:
    work = Work(tmp_path, [COPY])
    handle = make_fleet().submit(work.submission(cluster="yarn"))
    assert handle.result(PATIENCE).ok

    def left() -> list[Path]:
        return [path for path in (engine.home / "hdfs").rglob("*") if path.is_file()]

    wait_until(lambda: not left(), "HDFS is empty", limit=PATIENCE)


def test_a_failure_is_retried_and_told_with_its_code(
    make_fleet: Callable[..., Fleet], tmp_path: Path
) -> None:
    work = Work(tmp_path, [COPY, "echo try >> out; exit 3"])
    bridged.fails_with_its_code(make_fleet(), work, cluster="yarn")
    # the second went on with what the first had left
    assert work.outputs()[1] == "try\ntry\n"


def test_a_queue_that_is_not_there_fails_the_run_in_yarns_words(
    make_fleet: Callable[..., Fleet], engine: Engine, tmp_path: Path
) -> None:
    work = Work(tmp_path, [COPY])
    fleet = make_fleet()
    handle = fleet.submit(work.submission(cluster="yarn", queue="nosuch"))
    assert handle.wait(PATIENCE).state is RunState.FAILED
    ((_, record),) = fleet.ledger().jobs(handle.id)
    assert "to unknown queue: nosuch" in record.reason
    assert not engine.jobs()


def test_running_work_is_cancelled(
    make_fleet: Callable[..., Fleet], engine: Engine, tmp_path: Path
) -> None:
    def how() -> list[str | None]:
        return [one.how for one in engine.elements()]

    bridged.is_cancelled(make_fleet(), Work(tmp_path, ["sleep 600"] * 2), cluster="yarn", how=how)


@pytest.mark.parametrize("point", ["bridge-stored", "bridge-begun", "bridge-unpacked"])
def test_a_worker_that_is_killed_on_the_bridge_starts_nothing_twice(
    make_fleet: Callable[..., Fleet], engine: Engine, tmp_path: Path, point: str
) -> None:
    """Between put and start; between start and its being written down; between results and their being told."""
    fleet, work = make_fleet(worker=False), Work(tmp_path, [COPY] * 2)
    bridged.starts_nothing_twice(fleet, work, cluster="yarn", point=point)
    assert len(engine.jobs()) == 2
