"""A whole run through a real worker on the fake cloud: no job sees the worker's directories, and none is made twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.states import JobState
from tests.fake import cloud_server
from tests.fake.cloud_server import Cloud
from tests.fake.conftest import SERVICES, keys, profile_of
from tests.testbed import bridged
from tests.testbed.processes import wait_until
from tests.testbed.work import COPY, PATIENCE, Work, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.testbed.fleet import Fleet

    Makes = Callable[..., Fleet]

pytestmark = pytest.mark.needs("valkey")

ADD = {"Bohrium": "/brm/v2/job/add", "OpenAPI": "/openapi/v2/job/add"}
SECRETS = (cloud_server.PASSWORD, cloud_server.ACCESS_KEY, "geheim")


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    with Cloud(tmp_path / "cloud", slots=4).running() as running:
        yield running


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make_fleet(
    service: str,
    cloud: Cloud,
    fleet_of: Callable[..., Fleet],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Makes:
    """A function that starts a fleet on it."""
    monkeypatch.chdir(tmp_path)
    given = profile_of(service).model_dump(mode="json", exclude_none=True)
    profile = {
        "batch_type": service.upper(),
        "context_type": f"{service}Context",
        "retry_count": 1,
        "remote_profile": {**given, "bridge_root": str(tmp_path / "bridge root")},
    }
    env = {
        **cloud.environment,
        "CLOUD_PASSWORD": cloud_server.PASSWORD,
        "CLOUD_KEY": cloud_server.ACCESS_KEY,
    }

    def make(**keywords: Any) -> Fleet:
        return fleet_of({"cloud": profile}, env=env, **keywords)

    return make


def test_work_is_done_where_nobody_sees_the_root(
    make_fleet: Makes, cloud: Cloud, tmp_path: Path
) -> None:
    work = Work(tmp_path, [f"{COPY}; cat ../share/table >> out; pwd > where"] * 3)
    (work.base / "share").mkdir()
    (work.base / "share/table").write_text("common\n")
    submission = work.submission(
        cluster="cloud",
        resources={"cpu_per_node": 8, "time_limit": "1h", "envs": {"MINE": "1"}},
        forward_common_files=["share/table"],
        clean=False,
    )
    fleet = make_fleet()
    handle = fleet.submit(submission)
    assert handle.result(PATIENCE).ok
    assert work.starts() == [1] * 3
    assert [(work.base / f"t{one}/out").read_text() for one in range(3)] == [
        f"input {one}\ncommon\n" for one in range(3)
    ]
    root = tmp_path / "bridge root"
    seen = [path.read_text() for path in root.rglob("where")]
    assert len(seen) == 3
    assert not [where for where in seen if str(root) in where]
    assert {cloud.platform.payload(key)["maxRunTime"] for key in keys(cloud)} == {60}
    _no_secret(fleet, root)


def _no_secret(fleet: Fleet, root: Path) -> None:
    """Look for one in the ledger, the log and everything that was written."""
    redis = fleet.ledger().redis
    texts = [fleet.worker.text()]
    texts += [repr(redis.dump(key)) for key in redis.scan_iter()]
    texts += [path.read_text("utf-8", "replace") for path in root.rglob("*") if path.is_file()]
    assert [word for word in SECRETS if any(word in text for text in texts)] == []


def test_a_failure_is_retried_and_told_with_its_code(
    make_fleet: Makes, cloud: Cloud, tmp_path: Path
) -> None:
    bridged.fails_with_its_code(make_fleet(), Work(tmp_path, [COPY, "exit 3"]), cluster="cloud")
    assert len(keys(cloud)) == 3


def test_running_work_is_cancelled(make_fleet: Makes, cloud: Cloud, tmp_path: Path) -> None:
    def how() -> list[str | None]:
        return [one.how for one in cloud.platform.engine.elements()]

    bridged.is_cancelled(make_fleet(), Work(tmp_path, ["sleep 600"] * 2), cluster="cloud", how=how)


def test_a_lost_answer_to_a_new_job_makes_no_second_one(
    make_fleet: Makes, service: str, cloud: Cloud, tmp_path: Path
) -> None:
    cloud.fault(ADD[service], after=True, times=2)
    work = Work(tmp_path, [COPY] * 2)
    handle = make_fleet().submit(work.submission(cluster="cloud"))
    assert handle.result(PATIENCE).ok
    assert work.starts() == [1, 1]
    assert len(keys(cloud)) == cloud.asked(ADD[service]) == 2


@pytest.mark.parametrize("point", ["cloud-uploaded", "bridge-begun", "bridge-unpacked"])
def test_a_worker_that_is_killed_on_the_way_starts_nothing_twice(
    make_fleet: Makes, cloud: Cloud, tmp_path: Path, point: str
) -> None:
    """Between upload and creation; between creation and its being written down; before results are told."""
    fleet, work = make_fleet(worker=False), Work(tmp_path, [COPY] * 2)
    bridged.starts_nothing_twice(fleet, work, cluster="cloud", point=point)
    assert len(keys(cloud)) == 2


def test_an_outage_is_waited_for(
    make_fleet: Makes, service: str, cloud: Cloud, tmp_path: Path
) -> None:
    fleet = make_fleet()
    work = Work(tmp_path, ["sleep 8; cat in > out"] * 2)
    handle = fleet.submit(work.submission(cluster="cloud"))
    until(handle, JobState.RUNNING, 2)
    path = "/brm/v1/job" if service == "Bohrium" else "/openapi/v1/job"
    cloud.fault(path, status=500, times=12)
    wait_until(lambda: "status 500" in fleet.worker.text(), "it was asked in vain")
    assert handle.result(PATIENCE).ok
    assert work.starts() == [1, 1]
