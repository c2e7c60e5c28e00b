"""A bridge to each service of the fake cloud: what holds for a batch system holds here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from jobferry_common.errors import SubmitRefused
from jobferry_common.models.resources import Resources
from jobferry_common.schedulers import scheduler_named
from jobferry_common.schedulers.base import Phase
from jobferry_common.states import Outcome
from tests.fake import cloud_server
from tests.fake.cloud_server import Cloud
from tests.fake.conftest import SIZE, crossing_of, keys
from tests.testbed.processes import wait_until
from tests.worker.bridge.conftest import SCHEDULER, Crossing

if TYPE_CHECKING:
    from pathlib import Path

LIST: Final = {"Bohrium": "/brm/v1/job/list", "OpenAPI": "/openapi/v1/job/list"}


def header(**resources: Any) -> list[str]:
    asked = Resources.load_from_dict({"group_size": 1, **resources})
    return list(scheduler_named("OpenAPI", home="/").header(asked))


@pytest.mark.parametrize(
    ("body", "outcome", "code"),
    [
        ("true", Outcome.SUCCEEDED, 0),
        ("exit 3", Outcome.FAILED, 3),
        ("kill -KILL $$", Outcome.FAILED, 137),
    ],
)
def test_the_end_of_a_job_is_told(
    crossing: Crossing, body: str, outcome: Outcome, code: int
) -> None:
    seen = crossing.ended(crossing.submit(f"echo 1 > out; {body}"))
    assert (seen.outcome, seen.code) == (outcome, code)
    assert crossing.written("out") == "1\n"


def test_a_job_sees_nothing_of_the_root(crossing: Crossing, cloud: Cloud) -> None:
    crossing.ended(crossing.submit('pwd > where; cat "$0" > self; env > env; ls .. ../.. > ls'))
    (key,) = keys(cloud)
    place = cloud.platform.directory(key)
    assert crossing.written("where").startswith(str(place.resolve()))
    sent = (place / "jobferry.sh").read_text() + json.dumps(dict(cloud.platform.payload(key)))
    assert str(crossing.base) not in sent + crossing.written("env")
    for secret in (cloud_server.PASSWORD, cloud_server.ACCESS_KEY):
        assert secret not in sent


def test_what_the_platform_is_told(crossing: Crossing, cloud: Cloud) -> None:
    asked = header(number_node=2, cpu_per_node=8, gpu_per_node=1, time_limit="90s")
    job = crossing.submit("true", header=asked)
    crossing.ended(job)
    (key,) = keys(cloud)
    payload = cloud.platform.payload(key)
    assert payload["jobName"] == f"relax.{job}"
    assert payload["cmd"] == "bash jobferry.sh"
    assert (payload["nnode"], payload["maxRunTime"]) == (2, 2)
    assert (payload["scassType"], payload["imageName"]) == tuple(SIZE.values())
    assert payload["outFiles"] == ["jobferry.out"]


def test_more_than_the_machine_has_is_refused_by_name(crossing: Crossing, cloud: Cloud) -> None:
    with pytest.raises(SubmitRefused, match=r"resources\.gpu_per_node asks for 2"):
        crossing.submit("true", header=header(gpu_per_node=2))
    assert keys(cloud) == []


def test_what_the_platform_refuses_is_told_at_once(
    service: str, cloud: Cloud, tmp_path: Path
) -> None:
    assert cloud.url
    crossing = crossing_of(service, tmp_path, machine_type="c9_m9_cpu")
    with pytest.raises(SubmitRefused, match="no machine of type c9_m9_cpu"):
        crossing.submit("true")
    assert keys(cloud) == []
    none = crossing_of(service, tmp_path / "b", image_address="")
    with pytest.raises(SubmitRefused, match="says no image_address"):
        none.submit("true")


@pytest.mark.parametrize("killed", [5, -1])
def test_a_running_job_is_cancelled(crossing: Crossing, cloud: Cloud, killed: int) -> None:
    cloud.platform.settings.killed_status = killed
    job = crossing.submit("sleep 300")
    wait_until(lambda: crossing.listing().jobs[job].phase is Phase.RUNNING, "it runs")
    crossing.run(SCHEDULER.cancel([job]))
    assert crossing.ended(job).outcome is Outcome.CANCELLED


def test_a_job_that_waits_is_cancelled(crossing: Crossing, cloud: Cloud) -> None:
    cloud.platform.settings.held = True
    job = crossing.submit("echo > ran")
    wait_until(lambda: keys(cloud), "the platform has it")
    assert crossing.listing().jobs[job].phase is Phase.QUEUED
    crossing.run(SCHEDULER.cancel([job]))
    assert crossing.ended(job).outcome is Outcome.CANCELLED
    assert not (crossing.base / "ran").exists()


def test_a_time_limit_ends_a_job(crossing: Crossing, cloud: Cloud) -> None:
    cloud.platform.settings.minute_seconds = 1.0
    job = crossing.submit("sleep 300", header=header(time_limit="1m"))
    assert crossing.ended(job).outcome is Outcome.TIMEOUT


def test_a_job_that_vanished_is_not_told(crossing: Crossing, cloud: Cloud) -> None:
    job, other = crossing.submit("sleep 300"), crossing.submit("sleep 300")
    for one in (job, other):
        wait_until(lambda one=one: crossing.listing().jobs[one].phase is Phase.RUNNING, "it runs")  # type: ignore[misc]
    gone = next(key for key in keys(cloud) if cloud.platform.payload(key)["jobName"].endswith(job))
    cloud.platform.vanish(gone)
    wait_until(lambda: job not in crossing.listing().jobs, "it is not told any more")
    assert crossing.listing().jobs[other].phase is Phase.RUNNING


def test_a_number_that_nobody_knows_is_reported_and_not_guessed_at(
    crossing: Crossing, cloud: Cloud
) -> None:
    job = crossing.submit("until [ -e go ]; do sleep 0.1; done")
    wait_until(lambda: crossing.listing().jobs[job].phase is Phase.RUNNING, "it runs")
    (key,) = keys(cloud)
    cloud.platform.settings.odd_status = {key: 77}
    listing = crossing.listing()
    assert (dict(listing.unreadable), job in listing.jobs) == ({job: "77"}, False)
    cloud.platform.settings.odd_status = {}
    assert crossing.listing().jobs[job].phase is Phase.RUNNING


@pytest.mark.parametrize("prelude", [(0, 3, 9, 1, 4, 6), (9, 9)])
def test_a_job_goes_through_every_state(
    crossing: Crossing, cloud: Cloud, prelude: tuple[int, ...]
) -> None:
    cloud.platform.settings.preludes = prelude
    assert crossing.ended(crossing.submit("true")).outcome is Outcome.SUCCEEDED


def test_many_jobs_cost_a_page_of_the_list_and_not_a_request_each(
    crossing: Crossing, service: str, cloud: Cloud
) -> None:
    jobs = [crossing.submit("true") for _ in range(30)]
    for job in jobs:
        assert crossing.ended(job).outcome is Outcome.SUCCEEDED
    cloud.platform.settings.held = True
    waiting = [crossing.submit("true") for _ in range(10)]
    wait_until(lambda: len(keys(cloud)) == 40, "the platform has all of them")
    wait_until(lambda: _calm(crossing, waiting), "the bridge knows all of them")
    before = len(cloud.requests)
    told = crossing.listing().jobs
    assert len(told) == 40
    assert [path.split("?")[0] for _, path in cloud.requests[before:]] == [LIST[service]]


def _calm(crossing: Crossing, jobs: list[Any]) -> bool:
    told = crossing.listing().jobs
    return all("being started" not in told[job].reason for job in jobs) and all(
        "on their way" not in told[job].reason for job in jobs
    )


@pytest.mark.parametrize("grouped", [True, False])
def test_jobs_of_a_run_share_a_group_if_that_is_wanted(
    service: str, cloud: Cloud, tmp_path: Path, grouped: bool
) -> None:
    crossing = crossing_of(service, tmp_path, grouped=grouped)
    for _ in range(3):
        crossing.ended(crossing.submit("true"))
    groups = {item["jobGroupId"] for item in cloud.platform.items()}
    assert len(groups) == (1 if grouped else 3)


@pytest.mark.parametrize("keep", [True, False, None])
def test_archives_are_kept_where_that_is_wanted(
    service: str, cloud: Cloud, tmp_path: Path, keep: bool | None
) -> None:
    assert cloud.url
    crossing = crossing_of(service, tmp_path, keep_backup=keep)
    job = crossing.submit("true")
    crossing.ended(job)
    forget = SCHEDULER.forget([job])
    assert forget
    crossing.run(forget)
    home = tmp_path / "home"

    def is_gone() -> bool:
        return not crossing.listing().jobs and not list((home / "gone").iterdir())

    wait_until(is_gone, "it is forgotten, and its archives are removed")
    kept = {path.suffix for path in home.glob("backup/*")}
    assert kept == ({".in", ".out"} if keep else set())
    assert [path.name for path in (home / "cloud").iterdir() if path.suffix != ".group"] == []


def test_a_name_of_the_users_stands_before_the_jobs_own(
    service: str, cloud: Cloud, tmp_path: Path
) -> None:
    crossing = crossing_of(service, tmp_path, job_name="Iron, 300 K")
    job = crossing.submit("true")
    crossing.ended(job)
    (key,) = keys(cloud)
    assert cloud.platform.payload(key)["jobName"] == f"Iron__300_K.relax.{job}"
