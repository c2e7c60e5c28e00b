"""Profiles of clusters, and what an inline machine becomes."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobferry_common.errors import BadInput
from jobferry_common.models.cluster import ClusterProfile, inline_name, profile_of
from jobferry_common.models.machine import Machine
from jobferry_common.models.profiles import SshProfile
from jobferry_common.names import cluster_name


def local(**changes: object) -> Machine:
    fields = {"batch_type": "Slurm", "context_type": "Local", "local_root": "a", "remote_root": "r"}
    return Machine.load_from_dict({**fields, **changes})


def test_a_login_shell_is_for_real_batch_systems() -> None:
    slurm = ClusterProfile.load_from_dict(
        {"batch_type": "slurm", "context_type": "local", "remote_root": "/r"}
    )
    shell = ClusterProfile.load_from_dict({"batch_type": "Shell", "context_type": "LazyLocal"})
    assert slurm.login_shell
    assert not shell.login_shell
    assert ClusterProfile.load_from_dict({**shell.dump(), "login_shell": True}).login_shell


def test_roots_of_an_inline_machine_become_absolute(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert profile_of(local(), "/w").remote_root == "/w/r"
    assert profile_of(local(remote_root="~/r"), "/w").remote_root == f"{tmp_path}/r"
    in_place = profile_of(local(context_type="LazyLocal", remote_root=None), str(tmp_path))
    assert in_place.root == str(tmp_path.resolve() / "a")


def test_an_anonymous_cluster_is_named_by_what_it_is() -> None:
    name = inline_name(profile_of(local(), "/w"))
    assert name == cluster_name(name)
    assert name.startswith("inline-")
    assert inline_name(profile_of(local(local_root="b", retry_count=7), "/w")) == name
    assert inline_name(profile_of(local(remote_root="other"), "/w")) != name
    assert inline_name(profile_of(local(remote_profile={"symlink": False}), "/w")) != name


def test_a_profile_survives_the_ledger() -> None:
    profile = profile_of(local(remote_profile={"symlink": False}), "/w")
    assert ClusterProfile.load_from_dict(profile.dump()) == profile


def test_faults_of_a_profile_are_told_at_once() -> None:
    with pytest.raises(BadInput) as caught:
        ClusterProfile.load_from_dict(
            {"batch_type": "Slurm", "context_type": "Local", "max_runing_jobs": 1, "max_array": 0}
        )
    assert [str(problem) for problem in caught.value.problems] == [
        "cluster: remote_root: is missing; this context needs the directory where jobs run",
        "cluster: max_array: expected at least 1, got 0",
        "cluster: max_runing_jobs: is no known key; did you mean 'max_running_jobs'?",
    ]


def ssh(**profile: object) -> Machine:
    fields = {
        "batch_type": "Slurm",
        "context_type": "SSH",
        "local_root": ".",
        "remote_root": "~/r",
        "remote_profile": {"hostname": "hpc1", **profile},
    }
    return Machine.load_from_dict(fields)


def test_paths_of_another_machine_are_left_to_it() -> None:
    assert profile_of(ssh(), "/w").remote_root == "~/r"


@pytest.mark.parametrize(
    ("given", "wanted"), [("keys/id", "/w/keys/id"), ("~/.ssh/id", "~/.ssh/id"), ("/k", "/k")]
)
def test_a_key_is_looked_for_where_the_user_stands(given: str, wanted: str) -> None:
    profile = profile_of(ssh(key_filename=given), "/w").remote_profile
    assert isinstance(profile, SshProfile)
    assert profile.key_filename == wanted


def test_what_says_where_a_secret_is_travels() -> None:
    profile = profile_of(ssh(password="env:HPC1", totp_secret="file:~/x"), "/w")
    assert ClusterProfile.load_from_dict(profile.dump()) == profile
    assert "env:HPC1" in str(profile.dump())


def test_a_secret_that_is_kept_is_replaced_by_its_reference() -> None:
    kept: dict[str, str] = {}

    def keep(name: str, secret: str) -> str:
        kept[name] = secret
        return f"file:/secrets/{name}"

    one = profile_of(ssh(password="geheim"), "/w", keep=keep)
    two = profile_of(ssh(password="anders"), "/w", keep=keep)
    other = profile_of(ssh(password="geheim", username="bob"), "/w", keep=keep)
    assert one == two
    assert one.dump() != other.dump()
    assert sorted(kept.values()) == ["anders", "geheim"]
    for profile in (one, two, other):
        assert not {"geheim", "anders"} & set(str(profile.dump()).replace("'", " ").split())
        assert ClusterProfile.load_from_dict(profile.dump()) == profile
    assert "file:" not in str(one.public().dump())


def test_a_secret_of_a_cloud_cannot_travel_either() -> None:
    machine = Machine.load_from_dict(
        {
            "batch_type": "OpenAPI",
            "context_type": "OpenAPI",
            "local_root": ".",
            "remote_profile": {"access_key": "geheim"},
        }
    )
    with pytest.raises(BadInput, match="a secret cannot travel") as caught:
        profile_of(machine, "/w")
    assert "geheim" not in str(caught.value)


def test_a_secret_of_a_cloud_is_kept_where_one_of_ssh_is() -> None:
    kept: dict[str, str] = {}
    machine = Machine.load_from_dict(
        {
            "batch_type": "Lebesgue",
            "context_type": "DpCloudServerContext",
            "local_root": ".",
            "remote_profile": {
                "email": "a@b",
                "password": "geheim",
                "program_id": 7,
                "input_data": {},
            },
        }
    )

    def keep(name: str, secret: str) -> str:
        kept[name] = secret
        return f"file:/secrets/{name}"

    profile = profile_of(machine, "/w", keep=keep)
    assert list(kept.values()) == ["geheim"]
    assert "geheim" not in str(profile.dump())
    assert profile.dump()["remote_profile"]["password"] == f"file:/secrets/{next(iter(kept))}"


@pytest.mark.parametrize(
    "root", ["/user/*", "/user/a?", "/data[1]", "/d{a,b}", "-r", "a\\b", "a\nb"]
)
def test_a_directory_of_hdfs_is_one_directory(root: str) -> None:
    given = {"batch_type": "DistributedShell", "context_type": "HDFS", "remote_root": root}
    for model in (Machine, ClusterProfile):
        with pytest.raises(BadInput, match=r"remote_root: .* hadoop would not take as it stands"):
            model.load_from_dict({"local_root": ".", **given})
    plain = given | {"remote_root": "hdfs://nn:8020/user/ann b"}
    assert Machine.load_from_dict({"local_root": ".", **plain}).remote_root
