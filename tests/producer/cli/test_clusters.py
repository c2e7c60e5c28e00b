"""Commands about clusters and about the settings."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from jobferry_common.messages import (
    TEST_CLUSTER,
    checkup_key,
    data_queue_of,
    mark_alive,
    queue_key,
    queue_of,
    worker_key,
)
from jobferry_common.states import JobState, Outcome
from tests.common.ledger.documents import ALPHA, change_to, document, fence_of, reserve
from tests.testbed.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jobferry.client import Client
    from tests.producer.cli.conftest import Done
    from tests.producer.stage import Stage

    Command = Callable[..., Done]
    Beside = Callable[[Callable[[], object]], None]


@pytest.fixture
def hpc1(client: Client) -> str:
    """A cluster with a worker."""
    facts = {"account": "alice@hpc1", "batch_type": "Slurm", "context_type": "Local"}
    client.ledger.announce("hpc1", worker="login1:411", **facts)
    mark_alive(client.redis, worker_key(client.settings, queue_of("hpc1")), "login1:411")
    return "hpc1"


def test_clusters_are_listed_with_who_serves_them(
    jobferry: Command, client: Client, hpc1: str
) -> None:
    client.ledger.announce("old", account="", batch_type="Shell", context_type="Local", worker="")
    lines = jobferry("cluster", "list").out.splitlines()
    assert lines[1].split()[:4] == [hpc1, "Slurm", "Local", "works"]
    assert "login1:411" in lines[1]
    assert "no worker" in lines[2]
    data = jobferry("cluster", "list", "--json").json
    assert [(entry["name"], entry["state"]) for entry in data] == [
        ("hpc1", "works"),
        ("old", "no worker"),
    ]


def test_a_cluster_of_the_settings_is_listed_before_it_is_served(
    jobferry: Command, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        f'broker = "{client.settings.broker}"\n[clusters.mine]\nbatch_type = "Shell"\n'
        'context_type = "Local"\nremote_root = "/scratch/me"\n'
    )
    monkeypatch.setenv("JOBFERRY_CONFIG", str(config))
    assert "mine" in jobferry("cluster", "list").out
    shown = jobferry("cluster", "show", "mine").out
    assert "profile.remote_root = /scratch/me" in shown
    data = jobferry("cluster", "show", "mine", "--json").json
    assert (data["state"], data["profile"]["batch_type"]) == ("no worker", "Shell")


def test_a_misspelt_cluster_is_told(jobferry: Command, hpc1: str) -> None:
    for command in ("show", "test", "pause", "drain", "resume", "forget"):
        done = jobferry("cluster", command, "hcp1")
        assert done.code == 2
        assert f"did you mean '{hpc1}'" in done.err


def test_a_cluster_is_paused_and_resumed(jobferry: Command, client: Client, hpc1: str) -> None:
    jobferry("cluster", "pause", hpc1, "--reason", "maintenance")
    record = client.ledger.cluster(hpc1)
    assert (record.paused, record.paused_by) == ("maintenance", "operator")
    assert "paused: maintenance" in jobferry("cluster", "list").out
    assert jobferry("cluster", "resume", hpc1, "--json").json["state"] == "works"
    record = client.ledger.cluster(hpc1)
    # the operator's word that all is well: the worker takes it until it has seen so
    assert (record.paused, record.paused_by) == ("", "operator")


def test_a_cluster_is_drained_and_then_said_to_be(
    jobferry: Command, client: Client, stage: Stage
) -> None:
    facts = {"account": "alice@alpha", "batch_type": "Slurm", "context_type": "Local"}
    client.ledger.announce(ALPHA, worker="login1:411", **facts)
    mark_alive(client.redis, worker_key(client.settings, queue_of(ALPHA)), "login1:411")
    run = client.accept(document(tasks=1)).run
    reserve(client.ledger, run, [0])
    jobferry("cluster", "drain", ALPHA, "--reason", "new disks")
    assert client.ledger.cluster(ALPHA).paused_by == "operator"
    listed = jobferry("cluster", "list").out
    assert "draining: new disks" in listed
    assert re.search(r"\b\d+ s ago", listed)
    for state in (JobState.EXITED, JobState.FINISHED):
        change = change_to(client.ledger, run, 0, state, outcome=Outcome.SUCCEEDED)
        client.ledger.change(run, [change], fence=fence_of(client.ledger))
    assert jobferry("cluster", "list", "--json").json[0]["state"] == "draining: new disks"
    stage.deliver(run)
    client.ledger.collected(run, [0])
    assert jobferry("cluster", "list", "--json").json[0]["state"] == "drained: new disks"
    jobferry("cluster", "pause", ALPHA, "--reason", "a look first")
    assert jobferry("cluster", "list", "--json").json[0]["state"] == "paused: a look first"
    jobferry("cluster", "drain", ALPHA)
    assert jobferry("cluster", "resume", ALPHA, "--json").json["state"] == "works"
    assert not client.ledger.cluster(ALPHA).draining


def test_a_cluster_that_is_gone_is_forgotten(
    jobferry: Command, client: Client, stage: Stage
) -> None:
    facts = {"account": "alice@alpha", "batch_type": "Slurm", "context_type": "Local"}
    client.ledger.announce(ALPHA, worker="login1:411", **facts)
    run = client.accept(document(tasks=1)).run
    done = jobferry("cluster", "forget", ALPHA)
    assert done.code == 2
    assert f"such as {run}" in done.err
    stage.finish(run)
    assert jobferry("cluster", "forget", ALPHA).err == f"{ALPHA} is forgotten\n"
    assert jobferry("cluster", "list", "--json").json == []


def test_a_cluster_that_is_served_is_not_forgotten(jobferry: Command, hpc1: str) -> None:
    done = jobferry("cluster", "forget", hpc1)
    assert done.code == 2
    assert "login1:411 serves hpc1" in done.err
    assert len(jobferry("cluster", "list", "--json").json) == 1


def play_worker(client: Client, *steps: dict[str, object]) -> None:
    """Answer one test of a cluster."""
    queue = queue_key(client.settings, data_queue_of("hpc1"))
    wait_until(lambda: client.redis.llen(queue), "the worker was asked")
    [text] = client.redis.lrange(queue, 0, -1)
    headers = json.loads(text)["headers"]
    assert headers["task"] == TEST_CLUSTER
    ticket = headers["argsrepr"].split("'")[3]
    found = {"cluster": "hpc1", "done": True, "steps": steps}
    client.redis.set(checkup_key(client.settings, ticket), json.dumps(found))


def test_the_test_of_a_cluster_shows_each_step(
    jobferry: Command, client: Client, hpc1: str, beside: Beside
) -> None:
    good = {"name": "host", "ok": True, "what": "this machine answers"}
    beside(lambda: play_worker(client, good))
    done = jobferry("cluster", "test", hpc1, "--json")
    assert done.code == 0
    assert [(step["name"], step["ok"]) for step in done.json_lines] == [
        ("broker", True),
        ("worker", True),
        ("host", True),
    ]


def test_the_step_that_is_wrong_is_told(
    jobferry: Command, client: Client, hpc1: str, beside: Beside
) -> None:
    wrong = {"name": "scheduler", "ok": False, "what": "sinfo: command not found"}
    beside(lambda: play_worker(client, wrong))
    done = jobferry("cluster", "test", hpc1)
    assert done.code == 1
    assert "FAILED  scheduler: sinfo: command not found" in done.out


def test_a_cluster_that_does_not_answer_is_3(
    jobferry: Command, client: Client, hpc1: str, beside: Beside
) -> None:
    good = {"name": "settings", "ok": True, "what": "Slurm over SSH", "reached": True}
    silent = {"name": "host", "ok": False, "what": "cannot be reached", "reached": False}
    beside(lambda: play_worker(client, good, silent))
    done = jobferry("cluster", "test", hpc1)
    assert (done.code, done.out.splitlines()[-1]) == (3, "FAILED  host: cannot be reached")


def test_a_cluster_without_a_worker_fails_its_test_at_once(
    jobferry: Command, client: Client
) -> None:
    client.ledger.announce("old", account="", batch_type="Shell", context_type="Local", worker="")
    done = jobferry("cluster", "test", "old")
    assert done.code == 3
    assert "jobferry worker --cluster old" in done.out


def test_a_worker_that_does_not_answer_fails_the_test(jobferry: Command, hpc1: str) -> None:
    done = jobferry("cluster", "test", hpc1, "--timeout", "1")
    assert done.code == 3
    assert "login1:411 did not go on in time" in done.out


def test_the_settings_are_shown_without_secrets(
    jobferry: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBFERRY_BROKER", "redis://:s3cret@broker.example:6379/0")
    done = jobferry("config")
    assert "broker = redis://" in done.out
    assert "broker.example:6379" in done.out
    assert "timings.look_seconds = 10.0" in done.out
    assert "s3cret" not in done.out + done.err + jobferry("config", "--json").out


def test_completion_offers_runs_and_clusters(
    jobferry: Command, client: Client, hpc1: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jobferry.cli.completion import complete_cluster, complete_run

    run = client.accept(document(0xAB, name="fit")).run
    assert complete_run("0000") == [(run, "accepted fit")]
    assert complete_run("f") == []
    assert complete_cluster("h") == [hpc1]
    # the shell is found by looking at the processes above, which may be make and sh
    monkeypatch.setattr("shellingham.detect_shell", lambda *_: ("bash", "/bin/bash"))
    assert "_JOBFERRY_COMPLETE" in jobferry("--show-completion").out


def test_completion_without_a_broker_offers_nothing() -> None:
    from jobferry.cli.completion import complete_cluster, complete_run

    assert complete_run("") == []
    assert complete_cluster("") == []
