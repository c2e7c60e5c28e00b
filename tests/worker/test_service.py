"""What a worker process serves, and what it does for each cluster; on a real shell."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from jobferry_common import messages
from jobferry_common.errors import UnknownId
from jobferry_common.models.cluster import ClusterProfile
from jobferry_common.settings import Settings, Timings
from jobferry_worker import checkup, service, tasks
from jobferry_worker.service import Service
from tests.testbed.processes import free_ports, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from redis import Redis

INLINE = "inline-0123456789"


@pytest.fixture
def profile(tmp_path: Path) -> ClusterProfile:
    return ClusterProfile(
        batch_type="Shell", context_type="Local", remote_root=str(tmp_path / "remote")
    )


@pytest.fixture
def serve(redis: Redis, profile: ClusterProfile) -> Iterator[Callable[..., Service]]:
    made: list[Service] = []

    def make(*, serve_inline: bool = False) -> Service:
        settings = Settings(
            clusters={"alpha": profile},
            serve_inline=serve_inline,
            timings=Timings(probe_seconds=60),
        )
        made.append(Service(settings, redis))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def test_a_cluster_of_the_settings_is_served(
    serve: Callable[..., Service], profile: ClusterProfile
) -> None:
    assert serve().profile("alpha") == profile


def test_an_unknown_cluster_is_told_with_the_table_it_needs(serve: Callable[..., Service]) -> None:
    with pytest.raises(UnknownId, match=r"expected a table \[clusters\.beta\]"):
        serve().profile("beta")


def test_inline_machines_are_served_only_where_the_settings_allow_it(
    serve: Callable[..., Service], profile: ClusterProfile, redis: Redis
) -> None:
    redis.set(f"jobferry:profile:{INLINE}", json.dumps(profile.dump()))
    assert serve(serve_inline=True).profile(INLINE) == profile
    with pytest.raises(UnknownId, match="does not serve inline machines"):
        serve().profile(INLINE)


def test_nobody_but_the_settings_makes_a_worker_log_in_anywhere(
    serve: Callable[..., Service], redis: Redis
) -> None:
    given = {"hostname": "127.0.0.1", "port": 1, "password": "env:HOME", "proxy_command": "false"}
    profile = ClusterProfile.load_from_dict(
        {
            "batch_type": "Shell",
            "context_type": "SSH",
            "remote_root": "/r",
            "remote_profile": given,
        }
    )
    redis.set(f"jobferry:profile:{INLINE}", json.dumps(profile.dump()))
    with pytest.raises(UnknownId, match="does not serve inline machines"):
        serve().of(INLINE).cluster()
    assert serve(serve_inline=True).of(INLINE).cluster().account.endswith("@127.0.0.1:1")


def test_a_pass_announces_the_cluster(serve: Callable[..., Service]) -> None:
    serving = serve()
    serving.look("alpha")
    assert serving.ledger.cluster("alpha").last_pass > 0


def test_work_of_a_cluster_that_is_not_served_is_no_end_of_the_worker(
    serve: Callable[..., Service], caplog: pytest.LogCaptureFixture
) -> None:
    serving = serve()
    serving.look("beta")
    assert "A pass over beta failed" in caplog.text
    caplog.clear()
    serving.look("beta")
    assert "A pass over beta failed" not in caplog.text, "it rests"
    serving.look("alpha")
    assert serving.ledger.cluster("alpha").last_pass > 0


def test_a_tick_for_inline_machines_looks_at_those_with_work(
    serve: Callable[..., Service],
    profile: ClusterProfile,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    serving = serve(serve_inline=True)
    monkeypatch.setattr(service, "current", lambda: serving)
    redis.set(f"jobferry:profile:{INLINE}", json.dumps(profile.dump()))
    redis.hset("jobferry:waiting", INLINE, 1)
    tasks.advance(messages.INLINE)
    assert serving.served() == []
    redis.zadd(f"jobferry:open:{INLINE}", {"5e7-1": 1})
    tasks.advance(messages.INLINE)
    wait_until(lambda: INLINE in serving.known() and serving.served(), "a look at it")


def test_a_message_that_comes_after_its_run_was_cleaned_is_let_go(
    serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    serving = serve()
    monkeypatch.setattr(service, "current", lambda: serving)
    serving.redis.hset("jobferry:submissions", "5e7", 1)
    caplog.set_level("INFO")
    for task in (tasks.stage, tasks.collect, tasks.clean):
        task("alpha", "5e7-1")
    assert caplog.text.count("came too late") == 3
    with pytest.raises(UnknownId):
        tasks.collect("alpha", "5e7-2")


def test_a_run_that_was_cleaned_since_the_pass_keeps_no_other_from_being_moved(
    serve: Callable[..., Service], caplog: pytest.LogCaptureFixture
) -> None:
    serving = serve()
    serving.redis.sadd("jobferry:collect:alpha", "5e7-1", "5e8-1")
    caplog.set_level("INFO")
    serving.look("alpha")
    assert "jobferry.collect of 5e7-1 is not needed" in caplog.text
    assert "jobferry.collect of 5e8-1 is not needed" in caplog.text


def test_the_test_of_a_cluster_says_which_step_is_wrong(
    serve: Callable[..., Service], tmp_path: Path, redis: Redis
) -> None:
    serving = serve()
    (tmp_path / "remote").write_text("a file is in the way")
    steps = checkup.walk(serving, "alpha", "t1")
    assert [(step.name, step.ok) for step in steps] == [
        ("settings", True),
        ("host", True),
        ("root", False),
    ]
    assert str(tmp_path / "remote") in steps[-1].what
    assert "expected a remote_root that" in steps[-1].what
    assert steps[-1].reached
    told = json.loads(str(redis.get(messages.checkup_key(serving.settings, "t1"))))
    assert told["done"]
    assert [step["name"] for step in told["steps"]] == ["settings", "host", "root"]


def test_the_test_of_a_cluster_says_that_its_host_does_not_answer(
    redis: Redis, home: Path, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    given = {
        "batch_type": "Shell",
        "context_type": "SSH",
        "remote_root": str(tmp_path),
        "remote_profile": {"hostname": "127.0.0.1", "port": port, "username": "alice"},
    }
    settings = Settings(clusters={"far": ClusterProfile.load_from_dict(given)})
    serving = Service(settings, redis)
    try:
        steps = checkup.walk(serving, "far", "t4")
    finally:
        serving.stop()
    assert [(step.name, step.ok) for step in steps] == [("settings", True), ("host", False)]
    assert [step.reached for step in steps] == [True, False]
    assert (
        f"alice@127.0.0.1:{port} cannot be reached: 127.0.0.1: Connection refused" in steps[1].what
    )
    assert f"Try by hand: ssh -p {port} alice@127.0.0.1" in steps[1].what
    told = json.loads(str(redis.get(messages.checkup_key(settings, "t4"))))
    assert (told["done"], len(told["steps"])) == (True, 2)


def test_the_test_of_a_cluster_leaves_nothing_behind(
    serve: Callable[..., Service], tmp_path: Path
) -> None:
    steps = checkup.walk(serve(), "alpha", "t2")
    assert all(step.ok for step in steps), steps
    assert [step.name for step in steps][-4:] == ["submit", "run", "record", "clean"]
    assert not list((tmp_path / "remote").rglob("*checkup*"))


def test_the_test_of_an_unknown_cluster_fails_in_its_first_step(
    serve: Callable[..., Service],
) -> None:
    (step,) = checkup.walk(serve(), "beta", "t3")
    assert (step.name, step.ok) == ("settings", False)
