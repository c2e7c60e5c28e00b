"""What the doctor finds: each finding says what is wrong and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobferry.doctor import examine
from jobferry_common import messages
from jobferry_common.depot.settings import DepotSettings
from jobferry_common.models.cluster import ClusterProfile
from jobferry_common.settings import Settings, Stack

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis

    from tests.testbed.broker import Broker

ALPHA = ClusterProfile(batch_type="Shell", context_type="Local", remote_root="/scratch")


@pytest.fixture
def settings(valkey: Broker) -> Settings:
    return Settings(broker=valkey.url, clusters={"alpha": ALPHA})


def test_what_is_missing_is_told_with_the_command_that_brings_it(settings: Settings) -> None:
    found = {finding.name: finding for finding in examine(settings)}
    assert found["broker"].ok
    assert found["clocks"].ok
    assert not found["beat"].ok
    assert "jobferry beat" in found["beat"].next_step
    assert not found["worker of alpha"].ok
    assert "jobferry worker --cluster alpha" in str(found["worker of alpha"])


def test_what_serves_is_told_by_name(settings: Settings, redis: Redis) -> None:
    messages.mark_alive(redis, messages.beat_key(settings), "login1:1")
    messages.mark_alive(redis, messages.worker_key(settings, "jobferry.alpha"), "login1:2")
    found = {finding.name: finding for finding in examine(settings)}
    assert "login1:1" in found["beat"].what
    assert found["worker of alpha"].ok
    assert "login1:2" in found["worker of alpha"].what


def test_a_paused_cluster_is_told_with_its_reason(settings: Settings, redis: Redis) -> None:
    from jobferry_common.ledger import Ledger

    ledger = Ledger(redis)
    ledger.announce("alpha", account="a@h", batch_type="Shell", context_type="Local", worker="h:1")
    ledger.set_cluster("alpha", paused="sbatch is missing", paused_by="jobferry")
    found = {finding.name: finding for finding in examine(settings)}
    assert not found["cluster alpha"].ok
    assert "sbatch is missing" in found["cluster alpha"].what


def test_a_broker_that_could_forget_is_told(short_path: Path) -> None:
    from tests.testbed.broker import Broker

    options = ("--maxmemory-policy", "allkeys-lru")
    with Broker(short_path, appendonly=False, options=options) as broker:
        found = [str(finding) for finding in examine(Settings(broker=broker.url))]
    assert any("append-only" in line and line.startswith("FAILED") for line in found)
    assert any("maxmemory-policy" in line for line in found)


def test_a_broker_that_is_away_is_one_finding(short_path: Path) -> None:
    url = f"redis+socket://:hush@{short_path}/none.sock?virtual_host=0"
    *_, last = examine(Settings(broker=url))
    assert not last.ok
    assert "does not answer" in last.what
    assert "hush" not in last.what


def test_the_depot_is_looked_at_where_one_is_set(settings: Settings, tmp_path: Path) -> None:
    assert "depot" not in {finding.name for finding in examine(settings)}
    for url, well in ((str(tmp_path), True), (str(tmp_path / "missing"), False)):
        chosen = settings.model_copy(update={"depot": DepotSettings(url=url)})
        found = {finding.name: finding for finding in examine(chosen)}["depot"]
        assert (found.ok, url in found.what) == (well, True)


def test_a_disk_that_is_full_is_told(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobferry.stack.server.LEAST_FREE_BYTES", 2**62)
    _, finding = examine(Settings(stack=Stack(directory=short_path / "stack")))
    assert (finding.name, finding.ok) == ("embedded stack", False)
    assert "Make room there" in finding.next_step
    assert str(short_path / "stack") in finding.what
