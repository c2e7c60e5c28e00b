"""Machines: DPDispatcher's files, their aliases, and what of them can be submitted to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.errors import BadInput
from jobferry_common.models import kinds
from jobferry_common.models.cluster import ClusterProfile, profile_of
from jobferry_common.models.machine import Machine
from jobferry_common.models.profiles import BohriumProfile, OpenApiProfile, SshProfile
from jobferry_common.models.resources import Resources

if TYPE_CHECKING:
    from pathlib import Path

SSH: dict[str, Any] = {"hostname": "login.hpc1", "username": "alice"}


def plain(**changes: Any) -> dict[str, Any]:
    machine = {
        "batch_type": "Slurm",
        "context_type": "Local",
        "local_root": ".",
        "remote_root": "r",
    }
    return {**machine, **changes}


def problems(data: dict[str, Any]) -> list[str]:
    with pytest.raises(BadInput) as caught:
        Machine.load_from_dict(data, where="machine.json")
    return [str(problem) for problem in caught.value.problems]


def test_a_misspelt_batch_type_is_answered_with_the_near_one() -> None:
    (problem,) = problems(plain(batch_type="Slrum"))
    assert problem.startswith("machine.json: batch_type: there is no batch type 'Slrum'")
    assert "did you mean 'Slurm'?" in problem


def test_defaults_are_those_of_dpdispatcher() -> None:
    machine = Machine.load_from_dict(plain())
    assert machine.retry_count == 3
    assert machine.clean_asynchronously is False
    assert machine.symlink is True


def test_symlink_can_be_turned_off() -> None:
    assert Machine.load_from_dict(plain(remote_profile={"symlink": False})).symlink is False


def test_local_root_must_stand_in_a_file_but_may_be_null() -> None:
    assert Machine.load_from_dict(plain(local_root=None)).local_root is None
    data = plain()
    del data["local_root"]
    assert problems(data) == [
        "machine.json: local_root: is missing; expected the directory of work_base, or null"
    ]
    assert Machine(batch_type="Shell", context_type="LazyLocal").local_root is None


def test_a_local_machine_needs_its_remote_root() -> None:
    data = plain()
    del data["remote_root"]
    (problem,) = problems(data)
    assert problem.startswith("machine.json: remote_root: is missing")
    Machine.load_from_dict({**data, "context_type": "LazyLocal"})


def test_an_ssh_profile_has_every_field_of_dpdispatcher() -> None:
    profile = {
        **SSH,
        "password": "x",
        "port": 2222,
        "key_filename": "~/.ssh/id",
        "passphrase": "y",
        "timeout": 10,
        "totp_secret": "z",
        "tar_compress": False,
        "look_for_keys": True,
        "execute_command": "true",
        "proxy_command": None,
        "archive_chunk_size": 0,
    }
    machine = Machine.load_from_dict(plain(context_type="SSHContext", remote_profile=profile))
    assert isinstance(machine.remote_profile, SshProfile)
    assert machine.remote_profile.port == 2222


def test_faults_of_a_profile_are_told_by_their_path() -> None:
    found = problems(plain(context_type="ssh", remote_profile={"hostnam": "a", "port": "ssh"}))
    assert found == [
        "machine.json: remote_profile.port: expected a whole number, got 'ssh'",
        "machine.json: remote_profile.hostnam: is no known key; did you mean 'hostname'?",
    ]


def test_bohrium_takes_project_id_for_program_id() -> None:
    profile = {"project_id": 7, "input_data": {"_kept": 1}, "email": "a@b"}
    machine = Machine.load_from_dict(
        plain(batch_type="lebesgue", context_type="DpCloudServer", remote_profile=profile)
    )
    assert isinstance(machine.remote_profile, BohriumProfile)
    assert machine.remote_profile.program_id == 7
    assert machine.remote_profile.input_data == {"_kept": 1}


def test_openapi_knows_its_keys_and_keeps_no_secret() -> None:
    profile = {"access_key": "x", "machine_type": "c2_m4_cpu", "image_address": "reg/i:1"}
    machine = Machine.load_from_dict(
        plain(batch_type="OpenAPI", context_type="openapi", remote_profile=profile)
    )
    assert isinstance(machine.remote_profile, OpenApiProfile)
    assert machine.serialize()["remote_profile"]["machine_type"] == "c2_m4_cpu"
    assert machine.serialize()["remote_profile"]["access_key"] is None
    assert dict(machine.remote_profile.job) == {
        "scassType": "c2_m4_cpu",
        "imageName": "reg/i:1",
        "platform": "ali",
    }
    (problem,) = problems(
        plain(context_type="openapi", remote_profile={**profile, "machin_type": 1})
    )
    assert "did you mean 'machine_type'" in problem


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("command", "x", "the command of each task"),
        ("backward_files", ["a"], "the backward_files of each task"),
        ("max_reschedule_times", 2, "retry_count beside the machine"),
        ("max_run_time", 5, "time_limit of the resources"),
        ("lebesgue_version", 1, "version 2 alone"),
        ("job_resources", "x", "expected a list"),
    ],
)
def test_what_bohrium_may_not_be_told_is_refused_by_name(
    key: str, value: object, words: str
) -> None:
    profile = {"program_id": 7, "input_data": {"grouped": True, key: value}}
    (problem,) = problems(plain(context_type="Bohrium", remote_profile=profile))
    assert f"remote_profile.input_data.{key}" in problem
    assert words in problem


def test_what_bohrium_is_told_has_the_platforms_names() -> None:
    given = {
        "job_type": "container",
        "log_file": "a/log",
        "grouped": True,
        "scass_type": "c8_m32_cpu",
        "image_address": "reg/i:1",
        "disk_size": 50,
        "checkpoint_files": ["x"],
        "api_version": 2,
        "max_reschedule_times": 0,
        "_note": "for me",
    }
    profile = BohriumProfile(program_id=7, input_data=given)
    assert profile.in_groups
    assert dict(profile.job) == {
        "jobType": "container",
        "logFiles": "a/log",
        "scassType": "c8_m32_cpu",
        "imageName": "reg/i:1",
        "diskSize": 50,
        "checkpointFiles": ["x"],
    }


@pytest.mark.parametrize(
    ("beside", "inside", "tries"),
    [
        ({}, {}, 2),
        ({}, {"retry_count": 5}, 5),
        ({"retry_count": 1}, {"retry_count": 5}, 1),
        ({}, {"retry_count": None}, 3),
    ],
)
def test_bohriums_own_retry_count_holds_where_the_machine_has_none(
    beside: dict[str, Any], inside: dict[str, Any], tries: int
) -> None:
    profile = {"program_id": 7, "input_data": {}, **inside}
    given = plain(batch_type="Bohrium", context_type="bohrium", remote_profile=profile, **beside)
    assert Machine.load_from_dict(given).retry_count == tries
    assert Machine(**given).retry_count == tries


@pytest.mark.parametrize("field", ["password", "passphrase", "totp_secret"])
def test_a_secret_is_never_shown(field: str) -> None:
    machine = Machine.load_from_dict(
        plain(context_type="ssh", remote_profile={**SSH, field: "geheim"})
    )
    assert "geheim" not in repr(machine)
    assert "geheim" not in str(machine)
    assert "geheim" not in json.dumps(machine.serialize())
    (problem,) = problems(plain(context_type="ssh", remote_profile={**SSH, field: ["geheim"]}))
    assert "geheim" not in problem


def test_a_secret_cannot_travel_with_a_submission() -> None:
    machine = Machine.load_from_dict(
        plain(context_type="ssh", remote_profile={**SSH, "password": "geheim"})
    )
    with pytest.raises(BadInput) as caught:
        profile_of(machine, "/")
    assert "geheim" not in str(caught.value)
    assert "machine.remote_profile.password: a secret cannot travel" in str(caught.value)


_NEEDED: dict[str, dict[str, Any]] = {
    "SSH": SSH,
    "Bohrium": {"program_id": 7, "input_data": {}},
}


@pytest.mark.parametrize("context", kinds.CONTEXTS)
@pytest.mark.parametrize("batch", kinds.BATCH_TYPES)
def test_every_pair_of_batch_type_and_context_goes_or_is_refused_with_words(
    batch: str, context: str
) -> None:
    profile = _NEEDED.get(context, {})
    machine = Machine.load_from_dict(
        plain(batch_type=batch, context_type=context, remote_profile=profile)
    )
    far = {"DistributedShell": "HDFS", "Bohrium": "Bohrium", "OpenAPI": "OpenAPI"}
    if far.get(batch, context) == context and (batch in far or context not in far.values()):
        assert profile_of(machine, "/w").batch_type == batch
        return
    with pytest.raises(BadInput) as caught:
        profile_of(machine, "/w")
    (problem,) = caught.value.problems
    assert problem.where == "machine.context_type"
    assert batch in problem.what
    assert context in problem.what
    words = f"expected context_type {far[batch]!r}" if batch in far else "expected Local where"
    assert words in problem.what


def test_a_machine_loads_from_the_older_file_with_resources_beside_it() -> None:
    resources = {
        "number_node": 1,
        "cpu_per_node": 4,
        "gpu_per_node": 0,
        "queue_name": "CPU",
        "group_size": 2,
    }
    data = {"batch": plain(batch_type="shell", context_type="local"), "resources": resources}
    machine = Machine.load_from_dict(data)
    assert machine.batch.batch_type == "Shell"
    assert machine.resources == Resources.load_from_dict(data)
    assert machine.resources is not None
    assert machine.resources.group_size == 2


def test_an_older_file_tells_all_its_faults_at_once_by_their_paths() -> None:
    data = {
        "batch": {"batch_typ": "shell", "context_type": "lazylocal", "local_root": None},
        "resources": {"gruop_size": 2},
        "resuorces": {},
        "_note": "a comment",
    }
    told = {
        "old.json: resources.gruop_size: is no known key; did you mean 'group_size'?",
        "old.json: resuorces: is no known key; did you mean 'resources'?",
    }
    with pytest.raises(BadInput) as caught:
        Machine.load_from_dict(data, where="old.json")
    lines = set(map(str, caught.value.problems))
    assert lines == told | {
        "old.json: machine.batch_typ: is no known key; did you mean 'batch_type'?"
    }
    with pytest.raises(BadInput) as caught:
        Resources.load_from_dict(data, where="old.json")
    assert set(map(str, caught.value.problems)) == told


def test_a_key_and_its_other_name_do_not_hide_each_other() -> None:
    data = {"batch": plain(), "machine": plain(), "resources": {"group_size": 1}}
    with pytest.raises(BadInput, match=r"batch: stands beside 'machine', which means the same"):
        Machine.load_from_dict(data)
    with pytest.raises(BadInput, match=r"kwargs.sge_pe_name: stands beside 'pe_name'"):
        Resources(group_size=1, kwargs={"pe_name": "a", "sge_pe_name": "b"})  # type: ignore[arg-type]


def test_a_machine_survives_its_own_serialization(tmp_path: Path) -> None:
    machine = Machine.load_from_dict(plain(remote_profile={"symlink": False}, retry_count=1))
    path = tmp_path / "machine.json"
    path.write_text(json.dumps(machine.serialize()), encoding="utf-8")
    assert Machine.load_from_json(path) == machine
    assert Machine.load_from_json_file(path) == machine


def test_the_root_of_hdfs_stays_a_path_there() -> None:
    machine = Machine.load_from_dict(
        {
            "batch_type": "DistributedShell",
            "context_type": "HDFSContext",
            "local_root": "./",
            "remote_root": "hdfs://namenode:8020/user/ann",
        }
    )
    profile = profile_of(machine, "/home/ann")
    assert (profile.context_type, profile.remote_root) == ("HDFS", "hdfs://namenode:8020/user/ann")
    assert profile.root
    assert profile.root.startswith("~/.jobferry/bridges/")
    slower = profile.model_copy(update={"commands_per_second": 1.0})
    assert slower.root == profile.root
    elsewhere = profile.model_copy(update={"remote_root": "/other"})
    assert elsewhere.root != profile.root


def test_a_bridge_may_be_told_where_its_files_are() -> None:
    given = {"batch_type": "DistributedShell", "context_type": "HDFS", "remote_root": "/user/ann"}
    profile = ClusterProfile.load_from_dict({**given, "remote_profile": {"bridge_root": "/data"}})
    assert profile.root == "/data"


def test_hdfs_needs_a_remote_root() -> None:
    with pytest.raises(BadInput, match="remote_root: is missing"):
        ClusterProfile.load_from_dict({"batch_type": "DistributedShell", "context_type": "HDFS"})
