"""The suite of batch systems on the fake ones: their commands are on PATH, their jobs really run."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from jobferry_common.models import kinds
from jobferry_common.models.cluster import ClusterProfile
from jobferry_common.schedulers import scheduler_named
from jobferry_worker.bridge.host import BridgeHost
from jobferry_worker.bridge.making import bridge_of
from tests.conformance.suite import *  # noqa: F403 - the tests of the suite run here
from tests.conformance.system import System
from tests.fake import fugaku, hadoop, jh, lsf, pbs
from tests.fake.commands import env_with, install
from tests.fake.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import ModuleType

    from jobferry_common.names import SchedulerId


@dataclass(frozen=True, kw_only=True)
class Fake:
    """One fake batch system."""

    scheduler: str  #: its batch_type
    module: ModuleType  #: has `main` and COMMANDS
    config: Mapping[str, Any] = field(default_factory=dict)  #: for `Engine.configure`
    system: Mapping[str, Any] = field(default_factory=dict)  #: fields of `System`


_LSF: Final = {
    "hold_flag": "#BSUB -H",
    "time_limit": "1m",
    "first": 1,
    "report": True,
}

FAKES: Final[Mapping[str, Fake]] = {
    "PBS": Fake(
        scheduler="PBS",
        module=pbs,
        system={"hold_flag": "#PBS -h", "time_limit": "2s"},
    ),
    "PBS without JSON": Fake(
        scheduler="PBS",
        module=pbs,
        config={"json": False},
        system={"hold_flag": "#PBS -h", "time_limit": "2s"},
    ),
    "Torque": Fake(
        scheduler="Torque",
        module=pbs,
        config={"flavour": "Torque"},
        system={"hold_flag": "#PBS -h", "time_limit": "2s", "element_log": "{}-{}"},
    ),
    "LSF": Fake(
        scheduler="LSF",
        module=lsf,
        config={"custom": True, "minute": 2},
        system=_LSF,
    ),
    "LSF without -o": Fake(
        scheduler="LSF",
        module=lsf,
        config={"minute": 2},
        system=_LSF,
    ),
    "JH_UniScheduler": Fake(
        scheduler="JH_UniScheduler",
        module=jh,
        config={"custom": True, "minute": 2, "mark": "#JSUB"},
        system={**_LSF, "hold_flag": "#JSUB -H", "report": False},
    ),
    "Fugaku": Fake(
        scheduler="Fugaku",
        module=fugaku,
        system={"hold_flag": "#PJM --at 209912312359", "time_limit": "2s"},
    ),
    "DistributedShell": Fake(
        scheduler="DistributedShell",
        module=hadoop,
        system={"arrays": False, "nodes": 1, "many": 30},
    ),
}


def _behind_a_bridge(
    fake: Fake, engine: Engine, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> System:
    """Return a system whose commands a bridge answers; its scripts are where no job sees them."""
    for name, value in hadoop.environment(engine.home, env_with(tmp_path / "bin")).items():
        monkeypatch.setenv(name, value)
    given = {
        "batch_type": fake.scheduler,
        "context_type": "HDFS",
        "remote_root": "/user/ann/a root",
    }
    root = tmp_path / "a root's"
    limit = timedelta(seconds=60)
    bridge = bridge_of(ClusterProfile.load_from_dict(given), str(root), limit)
    apart = root / "5e7-1 it's"
    apart.mkdir(parents=True)

    def forget(job: SchedulerId) -> None:
        (one,) = [one for one in engine.elements() if one.job.name.endswith(job)]
        assert one.pid
        os.killpg(one.pid, signal.SIGKILL)  # before it can deliver anything
        engine.vanish(one.job.number)

    return System(
        scheduler=scheduler_named(fake.scheduler, home="/nowhere"),
        directory=directory,
        host=BridgeHost(lambda: bridge),
        apart=apart,
        slots=4,
        forget=forget,
        **fake.system,
    )


def forget_in(engine: Engine) -> Any:
    """Return what makes a job vanish from an engine without a trace."""

    def forget(job: SchedulerId) -> None:
        digits = "".join(letter if letter.isdigit() else " " for letter in job)
        engine.vanish(int(digits.split()[0]))

    return forget


@pytest.fixture(params=FAKES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """The cluster behind the commands."""
    fake = FAKES[request.param]
    engine = Engine(tmp_path / "cluster")
    engine.configure(slots=4, **fake.config)
    yield engine
    engine.stop()


@pytest.fixture
def system(
    engine: Engine,
    request: pytest.FixtureRequest,
    directory: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> System:
    """Each fake in turn."""
    fake = FAKES[request.node.callspec.params["engine"]]
    install(tmp_path / "bin", fake.module.__name__, fake.module.COMMANDS, home=engine.home)
    if fake.scheduler in kinds.PAIRS:
        return _behind_a_bridge(fake, engine, directory, tmp_path, monkeypatch)
    return System(
        scheduler=scheduler_named(fake.scheduler, home="/nowhere"),
        directory=directory,
        environment=env_with(tmp_path / "bin"),
        slots=4,
        forget=forget_in(engine),
        **fake.system,
    )
