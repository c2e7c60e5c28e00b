"""The way to a broker, against real servers."""

from __future__ import annotations

import socket
import subprocess
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from kombu import Connection
from redis.exceptions import ResponseError

from jobferry_common import broker as module
from jobferry_common.broker import check_server, connect, describe, guarded
from jobferry_common.broker_url import BrokerUrl
from jobferry_common.errors import BadInput, BrokerUnreachable
from jobferry_common.ledger import Ledger
from tests.common.ledger.documents import document
from tests.testbed.broker import Broker, Sentinel, free_port, redis_binary

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def locked(short_path: Path) -> Iterator[Broker]:
    """A server with a password, over TCP too."""
    with Broker(short_path / "b", tcp=True, password="s p/@") as broker:
        yield broker


def url_of(broker: Broker, password: str) -> str:
    return f"redis+socket://:{password}@{broker.socket}"


def test_it_connects_over_socket_and_tcp(locked: Broker) -> None:
    quoted = "s%20p%2F%40"
    for url in (url_of(locked, quoted), f"redis://:{quoted}@127.0.0.1:{locked.port}/0"):
        client = connect(url)
        assert client.ping()
        client.close()


def test_kombu_understands_the_same_address(locked: Broker) -> None:
    address = BrokerUrl.parse(url_of(locked, "s%20p%2F%40"))
    with Connection(address.celery_url()) as connection:
        connection.ensure_connection(max_retries=1)
        assert connection.connected


@pytest.mark.parametrize("url", ["socket", "tcp"])
def test_a_wrong_password_is_told_without_it(locked: Broker, url: str) -> None:
    address = (
        url_of(locked, "wrong") if url == "socket" else f"redis://:wrong@127.0.0.1:{locked.port}"
    )
    with pytest.raises(BrokerUnreachable, match=r"refuses us.*Check user and password") as caught:
        connect(address)
    assert "wrong@" not in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_missing_password_is_told(locked: Broker) -> None:
    with pytest.raises(BrokerUnreachable, match="refuses us"):
        connect(f"redis+socket://{locked.socket}")


@pytest.mark.parametrize("kind", ["redis", "redis+socket"])
def test_a_server_that_is_not_there_is_told_with_what_to_check(kind: str, short_path: Path) -> None:
    where = (
        f":secret@{short_path}/no.sock"
        if kind == "redis+socket"
        else f"x:secret@127.0.0.1:{free_port()}/0"
    )
    with pytest.raises(BrokerUnreachable, match=r"Is it running.*JOBFERRY_BROKER") as caught:
        connect(f"{kind}://{where}")
    assert "secret" not in str(caught.value)
    assert ".." not in str(caught.value)


def test_a_server_that_is_silent_is_given_up(short_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(short_path / "s"))
        silent.listen()
        with pytest.raises(BrokerUnreachable, match="does not answer"):
            connect(f"redis+socket://{short_path}/s", timeout=timedelta(milliseconds=50))


def test_a_client_is_described_without_its_password(locked: Broker) -> None:
    client = connect(url_of(locked, "s%20p%2F%40"))
    assert describe(client) == f"redis+socket://{locked.socket}"
    client.close()


def test_a_good_server_has_no_finding(locked: Broker) -> None:
    client = connect(url_of(locked, "s%20p%2F%40"))
    assert check_server(client) == []
    client.close()


def test_what_a_server_may_forget_is_found(short_path: Path) -> None:
    options = ("--maxmemory-policy", "allkeys-lru", "--maxmemory", "100mb")
    with Broker(short_path / "b", appendonly=False, options=options) as broker:
        client = broker.client()
        found = check_server(client)
        assert [finding.next_step for finding in found] == [
            "Set `appendonly yes`.",
            "Set `maxmemory-policy noeviction`.",
        ]
        assert all(finding.grave for finding in found)
        client.close()


def test_a_server_that_may_forget_a_second_is_found(short_path: Path) -> None:
    with Broker(short_path / "b", fsync="everysec") as broker:
        client = broker.client()
        assert [finding.what for finding in check_server(client)] == [
            "appendfsync is everysec: a crash can forget the last second"
        ]
        client.close()


@pytest.mark.needs("redis")
def test_redis_itself_is_good_too(short_path: Path) -> None:
    with Broker(short_path / "b", binary=redis_binary()) as broker:
        client = broker.client()
        assert check_server(client) == []
        client.close()


@pytest.mark.parametrize(
    ("info", "old"),
    [
        ({"redis_version": "6.0.16"}, True),
        ({"redis_version": "6.2.0"}, False),
        ({"redis_version": "10.0"}, False),
        ({"redis_version": "7.2.4", "valkey_version": "7.2.11"}, True),
        ({"redis_version": "7.2.4", "valkey_version": "9.1.2-rc1"}, False),
    ],
)
def test_an_old_server_is_refused(info: dict[str, str], old: bool) -> None:
    assert (module._find_version(info) is not None) == old


def test_a_full_server_takes_nothing_half(short_path: Path) -> None:
    with Broker(short_path / "b") as broker:
        ledger = Ledger(broker.client())
        ledger.redis.config_set("maxmemory", 1)
        for accept in (ledger.accept, lambda one: ledger.accept_many([one])):
            with pytest.raises(BrokerUnreachable, match=r"takes no writes.*raise maxmemory"):
                accept(document())
        assert ledger.redis.keys() == []
        ledger.redis.close()


def test_a_replica_is_told(short_path: Path) -> None:
    with Broker(short_path / "b", options=("--replicaof", "127.0.0.1", "1")) as broker:
        ledger = Ledger(broker.client())
        with pytest.raises(BrokerUnreachable, match="it is a replica"):
            ledger.accept(document())
        ledger.redis.close()


def test_sentinels_name_the_primary(short_path: Path) -> None:
    with Broker(short_path / "b", tcp=True) as broker:
        sentinel = Sentinel(short_path / "s", primary=broker.port)
        with sentinel:
            client = connect(f"sentinel://127.0.0.1:{sentinel.port}/jobs")
            assert Ledger(client).accept(document()).run == "000000000001-1"
            client.close()
            with pytest.raises(BrokerUnreachable, match="No master found for 'others'"):
                connect(f"sentinel://127.0.0.1:{sentinel.port}/others")


@pytest.mark.needs("redis")
def test_a_connection_can_be_encrypted(short_path: Path) -> None:
    certificate = _certificate(short_path)
    port = free_port()
    options = ("--tls-port", str(port), "--tls-auth-clients", "no", *certificate)
    with Broker(short_path / "b", binary=redis_binary(), options=options):
        authority = f"ssl_ca_certs={short_path}/c.pem&ssl_check_hostname=false"
        client = connect(f"rediss://127.0.0.1:{port}/0?{authority}")
        assert client.ping()
        client.close()
        with pytest.raises(BrokerUnreachable, match="certificate"):
            connect(f"rediss://127.0.0.1:{port}/0")


def _certificate(directory: Path) -> tuple[str, ...]:
    """Make a certificate of our own; return the server's options for it."""
    key, certificate = directory / "k.pem", directory / "c.pem"
    argv = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2")
    where = ("-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate))
    subprocess.run((*argv, *where), check=True, capture_output=True)
    files = (("cert", certificate), ("key", key), ("ca-cert", certificate))
    return tuple(part for name, path in files for part in (f"--tls-{name}-file", str(path)))


def test_an_error_of_ours_is_not_hidden() -> None:
    msg = "WRONGTYPE"
    with pytest.raises(ResponseError, match=msg), guarded("here"):
        raise ResponseError(msg)


def test_one_client_serves_many_threads(valkey: Broker) -> None:
    ledger = Ledger(valkey.client())
    threads = [
        threading.Thread(target=ledger.accept, args=(document(number),)) for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ledger.runs()) == 8
    ledger.redis.close()


def test_an_address_that_cannot_be_read_is_bad_input() -> None:
    with pytest.raises(BadInput):
        connect("amqp://localhost")
