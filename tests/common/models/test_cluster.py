"""Profiles of clusters, and what an inline machine becomes."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobferry_common.errors import BadInput
from jobferry_common.models.cluster import ClusterProfile, inline_name, profile_of
from jobferry_common.models.machine import Machine
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
