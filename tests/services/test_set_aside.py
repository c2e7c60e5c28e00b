"""Real workers meet what nobody can read: it is set aside, told, and can be put back; work goes on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from jobferry_common import messages
from jobferry_common.settings import Settings
from jobferry_common.versions import VERSION
from tests.testbed.processes import wait_until
from tests.testbed.work import COPY, PATIENCE, Work

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.testbed.fleet import Fleet

pytestmark = pytest.mark.needs("valkey")

QUEUE = "jobferry.here"


@pytest.fixture
def fleet(fleet_of: Callable[..., Fleet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    monkeypatch.chdir(tmp_path)
    place = {"context_type": "LazyLocal", "local_root": str(tmp_path)}
    return fleet_of({"here": {"batch_type": "Shell", **place}})


def set_aside(fleet: Fleet) -> list[str]:
    """Return what the doctor says was set aside."""
    done = fleet.jobferry("doctor", "--json")
    return [row["next_step"] for row in json.loads(done.stdout) if "set aside" in row["name"]]


def texts() -> dict[str, str]:
    """Return texts in a queue that are no messages of ours, or not of a version that is known."""
    whole = json.loads(messages.message(messages.ADVANCE, ["here"], QUEUE))
    halved = {key: value for key, value in whole.items() if key != "properties"}
    return {
        "garbage": "\x00no message",
        "another program's": json.dumps(["hello"]),
        "half of one": json.dumps(halved),
        "a newer version's": messages.message(
            messages.ADVANCE, ["here"], QUEUE, version=VERSION + 1
        ),
    }


@pytest.mark.parametrize("kind", texts())
def test_a_message_that_nobody_can_read_is_set_aside(
    fleet: Fleet, tmp_path: Path, kind: str
) -> None:
    text, redis = texts()[kind], fleet.broker.client()
    redis.lpush(messages.queue_key(Settings(), QUEUE), text)
    wait_until(lambda: set_aside(fleet), "it is set aside", limit=PATIENCE)
    work = Work(tmp_path, [COPY])
    assert fleet.submit(work.submission(cluster="here")).result(PATIENCE).ok
    assert fleet.worker.alive()
    (aside,) = fleet.ledger().aside()
    assert aside.where == QUEUE
    done = fleet.jobferry("putback", aside.id)
    assert done.returncode == 0, done
    wait_until(
        lambda: [one.id for one in fleet.ledger().aside()] not in ([], [aside.id]),
        "it was tried again, and set aside again",
        limit=PATIENCE,
    )
    assert fleet.worker.alive()


def test_what_was_never_set_aside_cannot_be_put_back(fleet: Fleet) -> None:
    done = fleet.jobferry("putback", "nothing")
    assert done.returncode == 2
    assert "jobferry doctor" in done.stderr
    assert set_aside(fleet) == []


def test_a_newer_ledger_is_refused_by_every_side(fleet: Fleet, tmp_path: Path) -> None:
    redis = fleet.broker.client()
    assert fleet.submit(Work(tmp_path, [COPY]).submission(cluster="here")).result(PATIENCE).ok
    redis.set("jobferry:version", VERSION + 1)
    words = f"version {VERSION + 1}"
    for command in (("status",), ("doctor",)):
        done = fleet.jobferry(*command)
        assert done.returncode == 2, done
        assert words in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
    wait_until(lambda: words in fleet.worker.text(), "the worker says so", limit=PATIENCE)
    redis.set("jobferry:version", VERSION)
    later = Work(tmp_path, [COPY], name="later")
    assert fleet.submit(later.submission(cluster="here")).result(PATIENCE).ok


def test_a_document_that_nobody_can_read_keeps_no_other_run_from_its_results(
    fleet: Fleet, tmp_path: Path
) -> None:
    broken = Work(tmp_path, ["exit 1"], name="broken").submission(cluster="here", clean=False)
    run = fleet.submit(broken).id
    wait_until(lambda: fleet.ledger().run(run).state.is_final, "it failed", limit=PATIENCE)
    redis = fleet.broker.client()
    redis.hset(f"jobferry:run:{run}:pages", "header", b"no header")
    redis.sadd("jobferry:collect:here", run)
    result = fleet.submit(Work(tmp_path, [COPY]).submission(cluster="here")).result(PATIENCE)
    assert result.ok
    assert fleet.ledger().run(run).state.is_final
    wait_until(lambda: set_aside(fleet), "the run is set aside", limit=PATIENCE)
    assert [one.id for one in fleet.ledger().aside()] == [run]
