"""A bridge to each service of the fake cloud."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from jobferry_common.models.profiles import BohriumProfile, OpenApiProfile
from jobferry_worker.cloud.side import CloudSide
from tests.fake import cloud_server
from tests.fake.cloud_jobs import PROJECT
from tests.fake.cloud_server import Cloud
from tests.worker.bridge.conftest import Crossing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVICES: Final = ("Bohrium", "OpenAPI")
SIZE: Final = {"machine_type": "c8_m32_1 * NVIDIA V100", "image_address": "registry/x:1"}


def profile_of(service: str, **more: Any) -> BohriumProfile | OpenApiProfile:
    """Return a profile whose secrets are in the environment; `more` are settings of a job, and keep_backup."""
    kept = {"keep_backup": more.pop("keep_backup", None)}
    if service == "Bohrium":
        known = {"email": cloud_server.EMAIL, "password": "env:CLOUD_PASSWORD"}
        given = {"input_data": {**SIZE, **more}, "program_id": PROJECT}
        return BohriumProfile(**{**given, **known, **kept})
    return OpenApiProfile(**{"access_key": "env:CLOUD_KEY", **SIZE, **more, **kept})


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest) -> str:
    """Each service in turn."""
    return str(request.param)


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """The platform, and an environment that leads there."""
    with Cloud(tmp_path / "cloud", slots=4).running() as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("CLOUD_PASSWORD", cloud_server.PASSWORD)
        monkeypatch.setenv("CLOUD_KEY", cloud_server.ACCESS_KEY)
        yield running


def side_of(service: str, tmp_path: Path, **more: Any) -> Any:
    """Return the far side of a bridge, as a worker that starts has it."""
    profile = profile_of(service, **more)
    return CloudSide(profile, service, tmp_path / "home", pause_seconds=0.001)


def crossing_of(service: str, tmp_path: Path, **more: Any) -> Crossing:
    """Return a bridge; `more` as `profile_of` takes it."""
    tmp_path.mkdir(exist_ok=True)
    side = side_of(service, tmp_path, **more)
    return Crossing(tmp_path, side, side)


@pytest.fixture
def crossing(service: str, cloud: Cloud, tmp_path: Path) -> Crossing:
    """A bridge to the cloud."""
    assert cloud.url
    return crossing_of(service, tmp_path)


def keys(cloud: Cloud) -> list[int]:
    """Return the ids of all jobs that the platform has."""
    return [item["id"] for item in cloud.platform.items()]
