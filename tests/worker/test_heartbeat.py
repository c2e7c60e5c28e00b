"""Signs of life, and the end of a worker that does no work any more."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from jobferry_common import messages
from jobferry_common.models.cluster import ClusterProfile
from jobferry_common.settings import Settings, Timings
from jobferry_worker.heartbeat import STUCK, Heartbeat
from jobferry_worker.service import Service
from tests.testbed.processes import wait_until

if TYPE_CHECKING:
    from redis import Redis

QUEUE = "jobferry.alpha"
SETTINGS = Settings(
    timings=Timings(lease_seconds=30, command_seconds=60),
    clusters={
        "alpha": ClusterProfile.load_from_dict(
            {"batch_type": "Shell", "context_type": "Local", "remote_root": "/nowhere"}
        ),
        "far": ClusterProfile.load_from_dict(
            {
                "batch_type": "Shell",
                "context_type": "SSH",
                "remote_root": "/nowhere",
                "remote_profile": {"hostname": "nobody.invalid"},
            }
        ),
    },
)


@pytest.fixture
def service(redis: Redis) -> Service:
    return Service(SETTINGS, redis)


def test_a_worker_is_seen_while_it_serves_and_not_after(service: Service) -> None:
    service.heartbeat.start([QUEUE])
    assert messages.worker_of(service.redis, SETTINGS, "alpha") == service.who
    service.heartbeat.stop()
    assert messages.worker_of(service.redis, SETTINGS, "alpha") is None


def test_another_workers_sign_is_left_alone(service: Service) -> None:
    service.heartbeat.start([QUEUE])
    messages.mark_alive(service.redis, messages.worker_key(SETTINGS, QUEUE), "other:1")
    service.heartbeat.stop()
    assert messages.worker_of(service.redis, SETTINGS, "alpha") == "other:1"


def test_a_pass_that_does_not_end_is_noticed(service: Service) -> None:
    served = service.of("alpha")
    served.turn.since = time.monotonic()
    assert service.heartbeat.stuck(time.monotonic() + 100) is None
    reason = service.heartbeat.stuck(time.monotonic() + 200)
    assert reason is not None
    assert "alpha has not gone on for 200 s" in reason


def test_a_pass_that_takes_steps_does_not_hang(service: Service) -> None:
    served = service.of("alpha")
    served.turn.since = begun = time.monotonic()
    served.cluster().stepped = begun + 150
    assert service.heartbeat.stuck(begun + 300) is None
    reason = service.heartbeat.stuck(begun + 340)
    assert reason is not None
    assert "for 190 s" in reason


def test_who_waits_for_a_host_that_does_not_answer_does_not_hang(service: Service) -> None:
    heartbeat = Heartbeat(service)
    heartbeat.serve([QUEUE])
    messages.send(service.redis, SETTINGS, messages.ADVANCE, ["alpha"])
    served = service.of("far")
    served.turn.since = begun = time.monotonic()
    assert heartbeat.stuck(begun) is None
    assert served.cluster().host.silence_seconds > 60
    patience = 180 + served.silence_seconds
    assert heartbeat.stuck(begun + patience - 1) is None
    assert "far has not gone on" in (heartbeat.stuck(begun + patience + 1) or "")
    served.turn.since = None
    assert "none has arrived here" in (heartbeat.stuck(begun + patience + 1) or "")


def test_a_deaf_worker_is_noticed_and_one_that_hears_is_not(service: Service) -> None:
    heartbeat = Heartbeat(service)
    heartbeat.serve([QUEUE])
    begun = time.monotonic()
    assert heartbeat.stuck(begun) is None
    messages.send(service.redis, SETTINGS, messages.ADVANCE, ["alpha"])
    assert heartbeat.stuck(begun + 1) is None
    service.taken[QUEUE] = begun + 100
    assert heartbeat.stuck(begun + 270) is None
    reason = heartbeat.stuck(begun + 290)
    assert reason is not None
    assert "none has arrived here" in reason


def test_an_empty_queue_is_no_deafness(service: Service) -> None:
    heartbeat = Heartbeat(service)
    heartbeat.serve([QUEUE])
    assert heartbeat.stuck(time.monotonic()) is None
    assert heartbeat.stuck(time.monotonic() + 10_000) is None


def test_the_exit_code_asks_for_another_start() -> None:
    assert STUCK == 75


def test_a_stuck_worker_ends_itself(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobferry_worker.heartbeat._SECONDS", 0.01)
    codes: list[int] = []
    heartbeat = Heartbeat(service, end=codes.append)
    service.of("alpha").turn.since = time.monotonic() - 10_000
    heartbeat.start([QUEUE])
    wait_until(lambda: codes, "it ends itself")
    heartbeat.stop()
    assert codes[0] == STUCK
