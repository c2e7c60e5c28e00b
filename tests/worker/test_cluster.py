"""Opening a cluster from its profile."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.errors import HostUnreachable
from jobferry_common.models.cluster import ClusterProfile
from jobferry_common.names import ClusterName
from jobferry_common.settings import Settings
from jobferry_worker.cluster import Cluster, open_cluster

if TYPE_CHECKING:
    from pathlib import Path

    from jobferry_common.schedulers.base import Facts


def opened(root: Path, name: str = "alpha", **fields: object) -> Cluster:
    profile = ClusterProfile.load_from_dict(
        {"batch_type": "Shell", "context_type": "Local", "remote_root": str(root), **fields}
    )
    return open_cluster(ClusterName(name), profile, Settings())


def test_nothing_is_asked_of_a_cluster_that_is_opened(tmp_path: Path) -> None:
    cluster = opened(tmp_path / "not" / "there")
    assert not cluster.knows_facts
    assert not (tmp_path / "not").exists()


def test_facts_are_asked_once_and_again_when_they_may_be_wrong(tmp_path: Path) -> None:
    cluster = opened(tmp_path)
    first: Facts = cluster.facts
    assert first.max_array >= 1
    assert cluster.facts is first
    cluster.forget_facts()
    assert cluster.facts is not first
    assert cluster.facts == first


def test_clusters_of_an_account_share_its_budget_and_not_its_lease(tmp_path: Path) -> None:
    one, other = opened(tmp_path, "one"), opened(tmp_path, "other")
    assert one.account == other.account
    assert one.budget is other.budget
    assert one.lease != other.lease


def test_workers_of_a_cluster_on_two_hosts_take_one_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = opened(tmp_path)
    monkeypatch.setattr(socket, "gethostname", lambda: "another")
    there = opened(tmp_path)
    assert here.account != there.account
    assert here.lease == there.lease


def test_the_root_is_a_real_path(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert opened(tmp_path / "link").root == str(tmp_path / "real")


def test_in_place_the_root_is_the_producers_directory(tmp_path: Path) -> None:
    profile = ClusterProfile(batch_type="Shell", context_type="LazyLocal", local_root=str(tmp_path))
    assert open_cluster(ClusterName("here"), profile, Settings()).root == str(tmp_path)


@pytest.mark.parametrize("batch_type", ["Slurm", "SlurmJobArray"])
def test_an_array_of_slurm_is_slurm(tmp_path: Path, batch_type: str) -> None:
    assert opened(tmp_path, batch_type=batch_type).scheduler.name == "Slurm"


def test_a_login_shell_is_for_real_batch_systems(tmp_path: Path) -> None:
    assert not opened(tmp_path).login_shell
    assert opened(tmp_path, batch_type="Slurm").login_shell


def far(name: str = "far", root: str = "/scratch/alice", **profile: Any) -> Cluster:
    """Return a cluster behind a host that does not answer."""
    data = {
        "batch_type": "Slurm",
        "context_type": "SSH",
        "remote_root": root,
        "remote_profile": {
            "hostname": "localhost.invalid",
            "username": "alice",
            "proxy_command": "false",
            **profile,
        },
    }
    return open_cluster(ClusterName(name), ClusterProfile.load_from_dict(data), Settings())


def test_clusters_of_an_account_behind_ssh_share_connection_shells_and_budget() -> None:
    one, other = far("one", timeout=3), far("other", root="/scratch/other/../bob/")
    assert one.account == other.account == "alice@localhost.invalid"
    assert one.host is other.host
    assert one.budget is other.budget
    assert other.root == "/scratch/bob"
    assert far(username="bob").host is not one.host
    assert far(execute_command="module load slurm").host is not one.host
    assert one.login_shell


def test_a_root_below_the_home_directory_has_to_be_asked_for() -> None:
    for root in ("~/work", "work"):
        with pytest.raises(HostUnreachable):
            assert far(root=root).root
    assert far(root="~/work").lease


def test_a_host_that_nobody_can_mean_is_told() -> None:
    with pytest.raises(HostUnreachable, match="is no name or address"):
        far(hostname="-oProxyCommand=true")
