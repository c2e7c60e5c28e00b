"""The manual's programs: machine.json, resources.json, task.json; five tasks; resources with everything in them."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from jobferry import Job, JobStatus, Machine, Resources, Submission, Task
from tests.seeds.conftest import inputs

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.needs("valkey")

#: as it stands there: over ssh, to Slurm
MACHINE = {
    "batch_type": "Slurm",
    "context_type": "SSHContext",
    "local_root": "/home/user123/workplace/22_new_project/",
    "remote_root": "/home/user123/dpdispatcher_work_dir/",
    "remote_profile": {
        "hostname": "39.106.xx.xxx",
        "username": "user123",
        "port": 22,
        "timeout": 10,
    },
}
#: the same, for a machine that every test has
HERE = {
    "batch_type": "Shell",
    "context_type": "LocalContext",
    "local_root": "./",
    "remote_root": "./dpdispatcher_work_dir/",
}
RESOURCES = {
    "number_node": 1,
    "cpu_per_node": 4,
    "gpu_per_node": 1,
    "queue_name": "GPUV100",
    "group_size": 5,
}
TASK = {
    "command": "lmp -i input.lammps",
    "task_work_path": "bct-0/",
    "forward_files": ["conf.lmp", "input.lammps"],
    "backward_files": ["log.lammps"],
    "outlog": "log",
    "errlog": "err",
}


#: stands for LAMMPS: writes down what it reads
LMP = """#!/bin/bash
[ "$1" = -i ] || exit 64
cat conf.lmp "$2" ../graph.pb > log.lammps
"""


@pytest.fixture
def files(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The manual's directories and files, and a command `lmp` on the PATH of a login shell."""
    base = inputs(place / "lammps_md_300K_5GPa")
    (base / "bct-0").mkdir()
    for name in ("conf.lmp", "input.lammps"):
        (base / "bct-0" / name).write_text(f"{name}\n")
    (place / "bin").mkdir()
    (place / "bin/lmp").write_text(LMP)
    (place / "bin/lmp").chmod(0o755)
    monkeypatch.setenv("PATH", f"{place / 'bin'}:{os.environ['PATH']}")
    described = {"machine": HERE, "resources": RESOURCES, "task": TASK}
    for name, plain in described.items():
        (place / f"{name}.json").write_text(json.dumps(plain))
    return base


def getting_started() -> Submission:
    """Do what the manual's first program does: everything but the run."""
    machine = Machine.load_from_json("machine.json")
    resources = Resources.load_from_json("resources.json")
    task0 = Task.load_from_json("task.json")
    task1, task2, task3, task4 = (
        Task(
            command="cat example.txt",
            task_work_path=f"dir{number}/",
            forward_files=["example.txt"],
            backward_files=["out.txt"],
            outlog="out.txt",
        )
        for number in range(1, 5)
    )
    task_list = [task0, task1, task2, task3, task4]
    return Submission(
        work_base="lammps_md_300K_5GPa/",
        machine=machine,
        resources=resources,
        task_list=task_list,
        forward_common_files=["graph.pb"],
        backward_common_files=[],
    )


def assert_results(base: Path) -> None:
    log = base / "bct-0/log.lammps"
    assert log.read_text() == "conf.lmp\ninput.lammps\ngraph\n"
    for number in range(1, 5):
        assert (base / f"dir{number}/out.txt").read_text() == f"example of dir{number}\n"


def test_the_first_program_has_its_results(files: Path) -> None:
    submission = getting_started()
    answer = submission.run_submission(check_interval=1)
    assert submission.handle is not None
    assert answer["_run"] == submission.handle.id
    assert_results(files)
    assert submission.check_all_finished()
    assert [job.job_state for job in submission.belonging_jobs] == [JobStatus.finished]


def test_it_may_leave_once_the_work_is_handed_over(files: Path) -> None:
    submission = getting_started()
    submission.run_submission(exit_on_submit=True, clean="on_success")
    assert submission.handle is not None
    submission.handle.result(120)
    assert_results(files)


def test_it_may_run_beside_other_coroutines(files: Path) -> None:
    async def both() -> tuple[dict[str, Any], str]:
        running = getting_started().async_run_submission(check_interval=2, clean=False)
        answer, other = await asyncio.gather(running, asyncio.sleep(0, "beside"))
        return answer, other

    answer, other = asyncio.run(both())
    assert answer["_run"]
    assert other == "beside"
    assert_results(files)


def test_a_dry_run_of_the_machine_as_it_stands_there_shows_its_script(
    files: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "machine.json").write_text(json.dumps({**MACHINE, "local_root": "./"}))
    before = sorted(files.rglob("*"))
    getting_started().run_submission(dry_run=True)
    script = capsys.readouterr().out
    for line in ("--nodes=1", "--ntasks-per-node=4", "--gres=gpu:1", "--partition=GPUV100"):
        assert line.replace("=", " ") in script.replace("=", " ")
    assert sorted(files.rglob("*")) == before


def test_what_resources_export_and_source_is_there_for_tasks(files: Path, place: Path) -> None:
    (place / "site.env").write_text("export SITE=here\n")
    submission = getting_started()
    submission.resources = Resources(
        group_size=4,
        source_list=[str(place / "site.env")],
        envs={"DP_DISPATCHER_EXPORT": "test_foo_bar_baz"},
    )
    command = "echo $SITE $DP_DISPATCHER_EXPORT > log.lammps"
    submission.task_list[0] = Task.load_from_dict({**TASK, "command": command})
    submission.run_submission()
    assert (files / "bct-0/log.lammps").read_text() == "here test_foo_bar_baz\n"


def test_resources_with_everything_in_them_stand_in_the_script(
    files: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "machine.json").write_text(json.dumps({**MACHINE, "local_root": "./"}))
    submission = getting_started()
    submission.resources = Resources(
        number_node=1,
        cpu_per_node=4,
        gpu_per_node=2,
        queue_name="GPU_2080Ti",
        group_size=4,
        custom_flags=["#SBATCH --nice=100", "#SBATCH --time=24:00:00"],
        strategy={"if_cuda_multi_devices": True},  # type: ignore[arg-type]
        para_deg=1,
        module_unload_list=["singularity"],
        module_list=["singularity/3.0.0"],
        source_list=["./slurm_test.env"],
        envs={"DP_DISPATCHER_EXPORT": "test_foo_bar_baz"},
    )
    submission.generate_jobs()
    assert [len(job.job_task_list) for job in submission.belonging_jobs] == [4, 1]
    submission.run_submission(dry_run=True)
    script = capsys.readouterr().out
    assert files.is_dir()
    for words in (
        "#SBATCH --nice=100",
        "#SBATCH --time=24:00:00",
        "--gres=gpu:2",
        "--partition GPU_2080Ti",
    ):
        assert words in script


@pytest.mark.parametrize("kind", [Machine, Resources, Task])
def test_what_is_written_down_is_read_again(
    files: Path, kind: type[Machine | Resources | Task]
) -> None:
    assert files.is_dir()
    one = kind.load_from_json(f"{kind.__name__.lower()}.json")
    plain = json.loads(json.dumps(one.serialize()))
    assert kind.deserialize(plain) == kind.load_from_dict(plain) == one


def test_hashes_tell_what_differs_and_nothing_else(files: Path) -> None:
    assert files.is_dir()
    first, second = getting_started(), getting_started()
    assert first.submission_hash == first.get_hash() == second.get_hash()
    tasks = [task.task_hash for task in first.task_list]
    assert tasks == [task.get_hash() for task in second.task_list]
    assert len(set(tasks)) == 5
    second.task_list[0] = Task.load_from_dict({**TASK, "command": "true"})
    assert second.get_hash() != first.get_hash()


def test_a_submission_is_written_to_a_file_and_read_again(files: Path, place: Path) -> None:
    first = getting_started()
    first.submission_to_json()
    assert (place / "submission.json").exists()
    again = Submission.submission_from_json("submission.json")
    assert again.submission_hash == first.submission_hash
    again.run_submission(clean=False)
    assert_results(files)


def test_a_submission_that_lists_jobs_in_place_of_tasks_is_read(files: Path) -> None:
    assert files.is_dir()
    first = getting_started()
    first.generate_jobs()
    plain = first.serialize()
    del plain["task_list"]
    plain["belonging_jobs"] = [job.serialize() for job in first.belonging_jobs]
    again = Submission.deserialize(json.loads(json.dumps(plain)))
    assert again.submission_hash == first.submission_hash
    assert [Job.deserialize(job) for job in plain["belonging_jobs"]] == first.belonging_jobs
