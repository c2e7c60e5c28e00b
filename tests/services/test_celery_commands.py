"""Celery's own commands serve clusters: worker, beat and flower, as they are typed; Flower is asked over HTTP."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common import messages
from jobferry_common.settings import load_settings
from jobferry_common.states import JobState, RunState
from tests.testbed.processes import Process, free_ports, run, wait_until
from tests.testbed.work import COPY, PATIENCE, Work, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.testbed.fleet import Fleet

pytestmark = pytest.mark.needs("valkey")

CELERY = (sys.executable, "-m", "celery", "-A", "jobferry_worker")


@pytest.fixture
def start(
    fleet_of: Callable[..., Fleet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Fleet]:
    """A function that starts a fleet with one cluster, a plain shell on this machine."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "remote").mkdir()
    shell = {
        "batch_type": "Shell",
        "context_type": "Local",
        "remote_root": str(tmp_path / "remote"),
        "max_running_jobs": 1,
    }
    return lambda **settings: fleet_of({"alpha": shell}, **settings)


def waiting(fleet: Fleet, queue: str) -> int:
    redis = fleet.broker.client()
    try:
        return messages.waiting(redis, load_settings(), queue)
    finally:
        redis.close()


def answer(url: str) -> Any:
    """Return what an API answers, None while it does not."""
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return json.load(response)
    except OSError:
        return None


@pytest.fixture
def flower(start: Callable[..., Fleet]) -> Iterator[tuple[Fleet, str]]:
    fleet = start()
    (port,) = free_ports(1)
    env = {**fleet.env, "FLOWER_UNAUTHENTICATED_API": "true"}
    argv = (*CELERY, "flower", "--address=127.0.0.1", f"--port={port}")
    process = Process(argv, log=fleet.directory / "flower.log", env=env, cwd=fleet.directory)
    url = f"http://127.0.0.1:{port}/api"
    wait_until(lambda: answer(f"{url}/workers") or not process.alive(), "Flower knows a worker")
    yield fleet, url
    process.stop()


@pytest.mark.needs("flower")
def test_flower_shows_workers_queues_and_named_tasks(
    flower: tuple[Fleet, str], tmp_path: Path
) -> None:
    fleet, url = flower
    (worker,) = answer(f"{url}/workers?refresh=1").values()
    assert "jobferry.alpha" in [queue["name"] for queue in worker["active_queues"]]
    assert set(messages.TASKS) <= set(worker["registered"])
    queues = {queue["name"] for queue in answer(f"{url}/queues/length")["active_queues"]}
    assert {"jobferry.alpha", "jobferry.alpha.data"} <= queues
    handle = fleet.submit(Work(tmp_path, [COPY]).submission(cluster="alpha"))
    assert handle.wait(PATIENCE).state is RunState.FINISHED

    def seen() -> bool:
        tasks = answer(f"{url}/tasks?taskname={messages.ADVANCE}") or {}
        return any(
            task["state"] == "SUCCESS" and "alpha" in task["args"] for task in tasks.values()
        )

    wait_until(seen, "Flower has seen a pass over alpha succeed")


def test_a_worker_started_by_celery_does_real_work(
    start: Callable[..., Fleet], tmp_path: Path
) -> None:
    fleet = start()
    work = Work(tmp_path, [COPY] * 3)
    assert fleet.submit(work.submission(cluster="alpha")).wait(PATIENCE).state is RunState.FINISHED
    assert work.outputs() == [f"input {number}\n" for number in range(3)]


def test_a_run_of_many_files_goes_over_the_data_queue(
    start: Callable[..., Fleet], tmp_path: Path
) -> None:
    fleet = start()
    work = Work(tmp_path, [COPY] * 60)
    handle = fleet.submit(work.submission(cluster="alpha", group_size=30))
    assert handle.wait(PATIENCE).state is RunState.FINISHED
    assert None not in work.outputs()
    assert "Task jobferry.stage[" in fleet.worker.text()


def test_a_full_data_lane_does_not_stop_passes(start: Callable[..., Fleet], tmp_path: Path) -> None:
    fleet = start(data_threads=2)
    blocker = fleet.submit(Work(tmp_path, ["sleep 600"], name="long").submission(cluster="alpha"))
    until(blocker, JobState.RUNNING, 1)
    redis = fleet.broker.client()
    for ticket in range(6):
        # each of these waits for a job of its own, and the only slot is taken
        messages.send(redis, load_settings(), messages.TEST_CLUSTER, ["alpha", f"t{ticket}"])
    redis.close()
    wait_until(lambda: fleet.worker.text().count("test_cluster[") >= 2, "two tests run")
    blocker.cancel()
    assert blocker.wait(PATIENCE).state is RunState.CANCELLED


def test_the_worker_outlives_its_broker(start: Callable[..., Fleet], tmp_path: Path) -> None:
    fleet = start()
    before = fleet.submit(
        Work(tmp_path, [f"sleep 3; {COPY}"], name="before").submission(cluster="alpha")
    )
    until(before, JobState.RUNNING, 1)
    fleet.broker.kill()
    wait_until(lambda: "Connection to broker lost" in fleet.worker.text(), "the worker notices")
    fleet.broker.start()
    assert before.wait(PATIENCE).state is RunState.FINISHED
    after = fleet.submit(Work(tmp_path, [COPY], name="after").submission(cluster="alpha"))
    assert after.wait(PATIENCE).state is RunState.FINISHED
    assert fleet.worker.alive()
    wait_until(lambda: waiting(fleet, "jobferry.alpha") == 0, "its queue is read again")


def test_a_worker_carries_a_beat(start: Callable[..., Fleet], tmp_path: Path) -> None:
    fleet = start()
    fleet.processes.pop("beat").stop()
    fleet.processes.pop("worker").stop()
    argv = (*CELERY, "worker", "-Q", "jobferry.alpha", "-P", "threads", "-B", "-l", "INFO")
    log = fleet.directory / "carrying.log"
    fleet.processes["worker"] = Process(argv, log=log, env=fleet.env, cwd=fleet.directory)
    redis = fleet.broker.client()
    redis.delete(messages.beat_key(load_settings()))
    wait_until(lambda: messages.alive(redis, messages.beat_key(load_settings())), "a beat")
    redis.close()
    wait_until(lambda: "jobferry.advance[" in fleet.worker.text(), "a tick arrives")


def test_a_stopped_worker_leaves_no_sign_of_life(start: Callable[..., Fleet]) -> None:
    fleet = start()
    redis = fleet.broker.client()
    assert messages.worker_of(redis, load_settings(), "alpha")
    assert fleet.processes.pop("worker").stop(60) == 0
    assert messages.worker_of(redis, load_settings(), "alpha") is None
    redis.close()


def test_another_kind_of_pool_is_refused(start: Callable[..., Fleet]) -> None:
    fleet = start()
    done = run(
        (*CELERY, "worker", "-Q", "jobferry.alpha", "-P", "solo"),
        env=fleet.env,
        cwd=fleet.directory,
    )
    assert done.returncode == 2
    assert "-P threads" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("queue", "told"),
    [
        ("jobferry.aplha", "[clusters.aplha]; known clusters: alpha"),
        ("jobferry.inline", "serve_inline"),
        ("celery", "expected jobferry.NAME"),
    ],
)
def test_a_queue_that_cannot_be_served_is_refused(
    start: Callable[..., Fleet], queue: str, told: str
) -> None:
    """Such a worker would give signs of life for the cluster, and take its messages for nothing."""
    fleet = start(worker=False)
    argv = (*CELERY, "worker", "-Q", queue, "-P", "threads")
    done = run(argv, env=fleet.env, cwd=fleet.directory)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_settings_that_are_wrong_are_told_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("brokr = 'redis://127.0.0.1'\n")
    env = {**os.environ, "JOBFERRY_CONFIG": str(tmp_path / "config.toml")}
    done = run((*CELERY, "worker"), env=env, cwd=tmp_path)
    assert done.returncode == 2
    assert "did you mean 'broker'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_test_of_a_cluster_walks_the_whole_path(
    start: Callable[..., Fleet], tmp_path: Path
) -> None:
    fleet = start()
    done = fleet.jobferry("cluster", "test", "alpha", limit=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    for step in ("settings", "host", "root", "scheduler", "submit", "run", "record", "clean"):
        assert f"{step}:" in done.stdout
    left = [path.name for path in (tmp_path / "remote" / ".jobferry").rglob("*checkup*")]
    assert left == []
