"""Fixtures of the tests on real servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.testbed.work import Work

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.testbed.fleet import Fleet
    from tests.testbed.slurm import SlurmCluster


def clusters_of(
    slurm: SlurmCluster, directory: Path, **profile: Any
) -> dict[str, Mapping[str, Any]]:
    """Return two targets on one Slurm: files are copied to the first, work runs in place on the second."""
    remote = directory / "remote"
    remote.mkdir(exist_ok=True)
    common = {"batch_type": "Slurm", "commands_per_second": 50.0, **profile}
    return {
        slurm.name: {**common, "context_type": "Local", "remote_root": str(remote)},
        "here": {**common, "context_type": "LazyLocal", "local_root": str(directory)},
    }


@pytest.fixture
def make_fleet(
    fleet_of: Callable[..., Fleet],
    slurm: SlurmCluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Fleet]:
    """A function that starts a fleet on the Slurm cluster alpha, with more in its profile or its settings."""
    monkeypatch.chdir(tmp_path)

    def make(profile: Mapping[str, Any] | None = None, **keywords: Any) -> Fleet:
        clusters = clusters_of(slurm, tmp_path, **(profile or {}))
        return fleet_of(clusters, env=slurm.env(), **keywords)

    return make


@pytest.fixture
def fleet(make_fleet: Callable[..., Fleet]) -> Fleet:
    """A fleet on the Slurm cluster alpha, at work."""
    return make_fleet()


@pytest.fixture
def make_work(tmp_path: Path) -> Callable[..., Work]:
    """A function that makes `Work` in the directory of the test."""

    def make(*commands: str, name: str = "work") -> Work:
        return Work(tmp_path, commands, name=name)

    return make


@pytest.fixture
def make_local_fleet(
    fleet_of: Callable[..., Fleet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Fleet]:
    """A function that starts a fleet on one cluster of that name and batch type, through the Local context."""
    monkeypatch.chdir(tmp_path)
    remote = tmp_path / "remote"
    remote.mkdir()

    def make(
        name: str,
        batch_type: str,
        env: Mapping[str, str],
        profile: Mapping[str, Any] | None = None,
        **keywords: Any,
    ) -> Fleet:
        plain = {"context_type": "Local", "remote_root": str(remote), "commands_per_second": 50.0}
        cluster = {"batch_type": batch_type, **plain, **(profile or {})}
        return fleet_of({name: cluster}, env=env, **keywords)

    return make
