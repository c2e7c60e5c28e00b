"""A fake cloud, and a way to it by each of the two services."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.models.profiles import BohriumProfile, OpenApiProfile
from jobferry_worker.cloud.opening import open_cloud
from tests.fake import cloud_server
from tests.fake.cloud_jobs import PROJECT
from tests.fake.cloud_server import Cloud

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from jobferry_worker.cloud.opening import Cloud as Client

    Opens = Callable[..., Client]


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    with Cloud(tmp_path / "cloud").running() as running:
        yield running


@pytest.fixture
def opens(cloud: Cloud) -> Opens:
    """Return what opens a service by its name; `variables` are added to the environment."""

    def opened(service: str, **variables: str) -> Client:
        return open_cloud(
            profile_of(service), {**cloud.environment, **variables}, pause_seconds=0.001
        )

    return opened


def profile_of(service: str, **fields: Any) -> BohriumProfile | OpenApiProfile:
    if service == "Bohrium":
        return BohriumProfile(
            **{
                "email": cloud_server.EMAIL,
                "password": cloud_server.PASSWORD,
                "program_id": PROJECT,
                "input_data": {},
                **fields,
            }
        )
    return OpenApiProfile(
        **{"access_key": cloud_server.ACCESS_KEY, "app_key": cloud_server.APP_KEY, **fields}
    )
