"""What goes wrong between a bridge and a cloud: nothing runs twice, and nothing is lost."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import pytest

from jobferry_common.errors import CommandFailed
from jobferry_common.killpoints import BRIDGE, CLOUD
from jobferry_common.schedulers.base import Phase
from jobferry_common.states import Outcome
from tests.fake import cloud_server
from tests.fake.cloud_server import Cloud
from tests.fake.conftest import crossing_of, keys, side_of
from tests.testbed.bridges import crash_at
from tests.testbed.processes import wait_until
from tests.worker.bridge.conftest import SCHEDULER, Crossing

if TYPE_CHECKING:
    from pathlib import Path

ADD: Final = {"Bohrium": "/brm/v2/job/add", "OpenAPI": "/openapi/v2/job/add"}
LIST: Final = {"Bohrium": "/brm/v1/job/list", "OpenAPI": "/openapi/v1/job/list"}
UPLOAD: Final = {"Bohrium": "/dpcloudserver/", "OpenAPI": "/api/upload/"}


def test_a_lost_answer_makes_no_second_job(crossing: Crossing, service: str, cloud: Cloud) -> None:
    cloud.fault(ADD[service], after=True)
    job = crossing.submit("echo ran >> ran")
    assert crossing.ended(job).outcome is Outcome.SUCCEEDED
    assert crossing.written("ran") == "ran\n"
    assert len(keys(cloud)) == cloud.asked(ADD[service]) == 1


def test_a_request_that_never_arrived_is_made_again_after_a_while(
    crossing: Crossing, service: str, cloud: Cloud
) -> None:
    cloud.fault(ADD[service])
    job = crossing.submit("echo ran >> ran")
    for _ in range(3):
        assert crossing.listing().jobs[job].phase is Phase.QUEUED
        crossing.now += 80
    assert crossing.ended(job).outcome is Outcome.SUCCEEDED
    assert crossing.written("ran") == "ran\n"
    assert (len(keys(cloud)), cloud.asked(ADD[service])) == (1, 2)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("point", [*CLOUD, *BRIDGE])
def test_a_crash_between_any_two_steps_runs_nothing_twice(
    service: str, cloud: Cloud, tmp_path: Path, point: str
) -> None:
    crossing = crossing_of(service, tmp_path)
    with crash_at(point) as passed:
        job = crossing.submit("echo ran >> ran; exit 4")

        def is_there() -> bool:
            if not passed:
                crossing.listing()
            return bool(passed)

        wait_until(is_there, f"{point} is passed")
    crossing.storage = crossing.system = side_of(service, tmp_path)
    crossing.again()
    if point in ("cloud-uploaded", "bridge-starting"):
        for _ in range(3):
            assert crossing.listing().jobs[job].phase is Phase.QUEUED
            crossing.now += 80
    seen = crossing.ended(job)
    assert (seen.outcome, seen.code) == (Outcome.FAILED, 4)
    assert crossing.written("ran") == "ran\n"
    assert len(keys(cloud)) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_limit_is_waited_for_and_told(
    crossing: Crossing, service: str, cloud: Cloud, status: int
) -> None:
    cloud.fault(ADD[service], status=status, body='{"message": "too many jobs"}', times=2)
    job = crossing.submit("true")
    assert "too many jobs" in crossing.listing().jobs[job].reason
    assert crossing.ended(job).outcome is Outcome.SUCCEEDED
    assert len(keys(cloud)) == 1


def test_an_upload_that_fails_starts_nothing_and_is_made_again(
    crossing: Crossing, service: str, cloud: Cloud
) -> None:
    cloud.fault(UPLOAD[service], status=500, times=6)
    job = crossing.submit("true")
    assert crossing.ended(job).outcome is Outcome.SUCCEEDED
    assert len(keys(cloud)) == 1


def test_results_that_are_offered_late_are_waited_for(crossing: Crossing, cloud: Cloud) -> None:
    cloud.platform.settings.results_later = 3
    assert crossing.ended(crossing.submit("echo 1 > out")).outcome is Outcome.SUCCEEDED
    assert crossing.written("out") == "1\n"


def test_results_that_are_damaged_are_no_results(crossing: Crossing, cloud: Cloud) -> None:
    job = crossing.submit("true")
    (key,) = wait_until(lambda: keys(cloud), "the platform has it")
    cloud.platform.objects[f"results/{key}/out.zip"] = b"no archive"
    seen = crossing.ended(job)
    assert seen.outcome is Outcome.FAILED
    assert "cannot be unpacked" in seen.reason


def test_credentials_that_are_refused_fail_no_job(
    crossing: Crossing, service: str, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = crossing.submit("until [ -e go ]; do sleep 0.1; done")
    wait_until(lambda: crossing.listing().jobs[job].phase is Phase.RUNNING, "it runs")
    name = {"Bohrium": "CLOUD_PASSWORD", "OpenAPI": "CLOUD_KEY"}[service]
    right = {"Bohrium": cloud_server.PASSWORD, "OpenAPI": cloud_server.ACCESS_KEY}[service]
    monkeypatch.setenv(name, "a-wrong-secret")
    crossing.again()
    crossing.storage = crossing.system = side_of(service, crossing.tmp)
    crossing.again()
    with pytest.raises(CommandFailed) as caught:
        crossing.listing()
    assert "a-wrong-secret" not in str(caught.value)
    monkeypatch.setenv(name, right)
    assert crossing.listing().jobs[job].phase is Phase.RUNNING
    crossing.run(SCHEDULER.cancel([job]))


def test_an_outage_is_no_proof(crossing: Crossing, service: str, cloud: Cloud) -> None:
    job = crossing.submit("until [ -e go ]; do sleep 0.1; done")
    wait_until(lambda: crossing.listing().jobs[job].phase is Phase.RUNNING, "it runs")
    cloud.fault(LIST[service], status=500, times=4)
    with pytest.raises(CommandFailed, match="500"):
        crossing.listing()
    slow = threading.Event()
    cloud.fault(LIST[service], slow=slow)
    slow.set()
    assert crossing.listing().jobs[job].phase is Phase.RUNNING
    crossing.run(SCHEDULER.cancel([job]))
