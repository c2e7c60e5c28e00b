"""The suite of batch systems on both services of the fake cloud, behind a bridge."""

from __future__ import annotations

import os
import signal
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from jobferry_common.models.cluster import ClusterProfile
from jobferry_common.schedulers import scheduler_named
from jobferry_worker.bridge.host import BridgeHost
from jobferry_worker.bridge.making import bridge_of
from tests.conformance.suite import *  # noqa: F403 - the tests of the suite run here
from tests.conformance.system import System
from tests.fake.conftest import profile_of

if TYPE_CHECKING:
    from pathlib import Path

    from jobferry_common.names import SchedulerId
    from tests.fake.cloud_server import Cloud


@pytest.fixture
def system(service: str, cloud: Cloud, directory: Path, tmp_path: Path) -> System:
    """Each service in turn; scripts are where no job sees them."""
    cloud.platform.settings.minute_seconds = 2.0
    root = tmp_path / "a root's"
    given = {"batch_type": service, "context_type": service, "remote_profile": profile_of(service)}
    profile = ClusterProfile.load_from_dict(given)
    bridge = bridge_of(profile, str(root), timedelta(seconds=60))
    apart = root / "5e7-1 it's"
    apart.mkdir(parents=True)

    def forget(job: SchedulerId) -> None:
        engine = cloud.platform.engine
        (one,) = [one for one in engine.elements() if one.job.name.endswith(job)]
        assert one.pid
        os.killpg(one.pid, signal.SIGKILL)  # before it can deliver anything
        cloud.platform.vanish(cloud.platform.id_of(one.job.number))

    return System(
        scheduler=scheduler_named(service, home="/nowhere"),
        directory=directory,
        host=BridgeHost(lambda: bridge),
        apart=apart,
        slots=4,
        arrays=False,
        bad_queue=None,
        time_limit="1m",
        forget=forget,
    )
