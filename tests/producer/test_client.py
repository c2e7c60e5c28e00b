"""The way to the broker: which one, what it answers, what it does when there is none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from jobferry import connect
from jobferry.client import Client
from jobferry_common.errors import AmbiguousId, BrokerUnreachable, Conflict, UnknownId
from jobferry_common.ledger.records import Accepted
from jobferry_common.messages import queue_key, queue_of
from jobferry_common.models.cluster import ClusterProfile
from jobferry_common.settings import Settings
from tests.common.ledger.documents import ALPHA, document

if TYPE_CHECKING:
    from pathlib import Path

    from tests.testbed.broker import Broker


def test_the_broker_comes_from_the_settings(settings: Settings) -> None:
    with connect() as client:
        assert client.settings.broker == settings.broker
        assert client.ledger.runs() == []


def test_a_broker_that_is_given_comes_first(
    valkey: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBFERRY_BROKER", "redis://nowhere.invalid:1/0")
    with connect(valkey.url) as client:
        assert client.ledger.runs() == []


def test_without_a_broker_and_without_a_start_it_says_what_to_do() -> None:
    with pytest.raises(BrokerUnreachable, match="jobferry up"):
        connect(start=False)


def test_a_broker_that_is_away_is_told(short_path: Path) -> None:
    client = Client(Settings(broker=f"redis+socket://{short_path}/none.sock"))
    with pytest.raises(BrokerUnreachable, match="does not answer"):
        _ = client.ledger


def test_accepting_keeps_a_copy_and_sends_one_hint(client: Client) -> None:
    text = document()
    run = client.accept(text).run
    assert client.kept.load(run) == text
    [message] = client.redis.lrange(queue_key(client.settings, queue_of(ALPHA)), 0, -1)
    assert json.loads(message)["headers"]["task"] == "jobferry.advance"


def test_many_are_accepted_with_one_hint_a_cluster(client: Client) -> None:
    answers = client.accept_many([document(number, tasks=1) for number in range(1, 21)])
    assert len({answer.run for answer in answers if isinstance(answer, Accepted)}) == 20
    assert client.redis.llen(queue_key(client.settings, queue_of(ALPHA))) == 1


def test_a_conflict_stands_in_its_place_among_many(client: Client) -> None:
    first, other = document(1, tasks=1), document(2, tasks=1, source="/home/alice/1")
    answers = client.accept_many([first, other, document(3, tasks=1)])
    assert [type(answer) for answer in answers] == [Accepted, Conflict, Accepted]


def test_a_prefix_finds_its_run(client: Client) -> None:
    run = client.accept(document(0xAB)).run
    assert client.handle("0000000000a").id == run
    client.accept(document(0xAC))
    with pytest.raises(AmbiguousId):
        client.handle("0000000000a")
    with pytest.raises(UnknownId):
        client.handle("f")


def test_a_cluster_that_nobody_knows_is_refused(client: Client) -> None:
    client.ledger.announce("hpc1", account="a", batch_type="Slurm", context_type="Local", worker="")
    client.know("hpc1")
    client.know("inline-0123456789")
    with pytest.raises(UnknownId, match="did you mean 'hpc1'"):
        client.know("hcp1")


def test_a_cluster_of_the_settings_is_known_before_it_is_served(valkey: Broker) -> None:
    profile = ClusterProfile(batch_type="Shell", context_type="Local", remote_root="/tmp/r")
    with Client(Settings(broker=valkey.url, clusters={"mine": profile})) as client:
        client.know("mine")


def test_an_id_that_is_no_text_is_told_like_any_other(client: Client) -> None:
    with pytest.raises(UnknownId, match="no run begins with"):
        client.handle("\udc80")
