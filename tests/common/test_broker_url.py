"""Addresses of brokers."""

from __future__ import annotations

import pytest

from jobferry_common.broker_url import BrokerUrl
from jobferry_common.errors import BadInput


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://", "redis://localhost:6379/0"),
        ("redis://host", "redis://host:6379/0"),
        ("redis://:secret@host:7000/3", "redis://:***@host:7000/3"),
        ("rediss://me:secret@host/1?ssl_ca_certs=/ca.pem", "rediss://me:***@host:6379/1"),
        ("redis://[::1]:6380/0", "redis://[::1]:6380/0"),
        ("redis+socket:///run/b.sock", "redis+socket:///run/b.sock"),
        ("redis+socket://:secret@/run/b.sock?virtual_host=2", "redis+socket://:***@/run/b.sock"),
        ("unix://:secret@/run/b.sock?db=2", "redis+socket://:***@/run/b.sock"),
        ("sentinel://:secret@a:1,b/jobs", "sentinel://:***@a:1,b:26379/jobs"),
        ("sentinel://a:1;sentinel://b:2/0?master_name=jobs", "sentinel://a:1,b:2/jobs"),
    ],
)
def test_an_address_is_shown_without_its_password(text: str, shown: str) -> None:
    address = BrokerUrl.parse(text)
    assert address.shown == shown
    assert "secret" not in repr(address)


@pytest.mark.parametrize(
    ("text", "celery"),
    [
        ("redis://:p%40ss@host:7000/3", "redis://:p%40ss@host:7000/3"),
        ("rediss://host", "rediss://host:6379/0?ssl_cert_reqs=required"),
        ("unix:///run/b.sock?db=2", "redis+socket:///run/b.sock?virtual_host=2"),
        (
            "sentinel://:secret@a:1,b:2/jobs?db=4",
            "sentinel://:secret@a:1/4;sentinel://:secret@b:2/4",
        ),
    ],
)
def test_celery_gets_the_same_address(text: str, celery: str) -> None:
    assert BrokerUrl.parse(text).celery_url() == celery


def test_the_sentinels_master_and_password_go_into_celerys_options() -> None:
    address = BrokerUrl.parse("sentinel://:one@a/jobs?sentinel_password=two")
    assert address.password == "one"
    assert address.celery_options() == {
        "master_name": "jobs",
        "sentinel_kwargs": {"password": "two"},
    }
    assert BrokerUrl.parse("redis://a").celery_options() == {}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("amqp://me:secret@host", "no address of a broker: expected redis://"),
        ("localhost:6379", "no address of a broker"),
        ("redis://host:port", "'port' is no port"),
        ("redis://:secret@host/name", "'name' is no database"),
        ("redis+socket://run/b.sock", "the path of a socket is absolute"),
    ],
)
def test_what_is_no_address_is_told_with_the_setting(text: str, what: str) -> None:
    with pytest.raises(BadInput, match="JOBFERRY_BROKER") as caught:
        BrokerUrl.parse(text, "JOBFERRY_BROKER")
    assert what in str(caught.value)
    assert "secret" not in str(caught.value)
