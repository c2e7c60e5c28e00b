"""The forms of file that DPDispatcher's examples, tests and records have, from its first releases to 1.1.0.

FORMS["machine_yarn.json"].plain        what stands in such a file, with values of our own

Names are those of its files. `python -m tests.seeds.others files FOLDER` does with its own source distribution what the
tests do with these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from jobferry_common.models.machine import Machine
from jobferry_common.models.resources import Resources
from jobferry_common.models.submission import Submission
from jobferry_common.models.task import Task


@dataclass(frozen=True, kw_only=True)
class Form:
    """A file, and what it is: several kinds where it may be loaded as each of them."""

    plain: dict[str, Any]
    kinds: tuple[type[Machine | Resources | Submission | Task], ...] = ()
    changes: tuple[str, ...] = ()  #: what `jobferry convert` says, or a part of each line
    refused: str = ""  #: words of the refusal; empty: it loads


def machine(batch: str, context: str, /, **further: Any) -> dict[str, Any]:
    """Return a machine as older files have it."""
    return {"batch_type": batch, "context_type": context, "local_root": "./here", **further}


def ssh(batch: str, **profile: Any) -> dict[str, Any]:
    """Return a machine that is reached by ssh."""
    login = {"hostname": "login.hpc1", "username": "alice", **profile}
    return machine(batch, "SSHContext", remote_root="/scratch/alice", remote_profile=login)


CORES: Final = {"number_node": 1, "cpu_per_node": 4, "gpu_per_node": 1, "queue_name": "gpu"}
ASKED: Final = {**CORES, "group_size": 5}
TEXT_CORES: Final = {"number_node": "1", "cpu_per_node": "4", "gpu_per_node": "0"}
LISTS: Final = {
    "custom_flags": ["#BSUB -W 24:00"],
    "strategy": {"if_cuda_multi_devices": False},
    "para_deg": 1,
    "module_purge": True,
    "module_unload_list": ["first"],
    "module_list": ["use.own", "second/1.3"],
    "source_list": ["/sw/gpu.sh", "/sw/activate /sw/env"],
    "envs": {"A": "b", "N": 4},
}
TASK: Final = {
    "command": "lmp -i input.lammps",
    "task_work_path": "bct-1/",
    "forward_files": ["conf.lmp", "input.lammps"],
    "backward_files": ["log.lammps"],
    "outlog": "log",
    "errlog": "err",
}
PLAIN_LISTS: Final[dict[str, Any]] = {
    name: [] for name in ("custom_flags", "module_list", "source_list")
}
EARLY: Final = {**ASKED, "if_cuda_multi_devices": True}


def job(resources: dict[str, Any], **further: Any) -> dict[str, Any]:
    """Return a job as a record of a submission holds it."""
    state = {"job_state": 5, "job_id": "21463.scheduler", "fail_count": 1}
    return {"89936e3a": {"job_task_list": [{**TASK, **further}], "resources": resources, **state}}


def record(resources: dict[str, Any], *jobs: dict[str, Any], **further: Any) -> dict[str, Any]:
    """Return a submission as it was written down."""
    common = {"forward_common_files": ["graph.pb"], "backward_common_files": []}
    return {
        "work_base": "0_md/",
        "resources": resources,
        **common,
        "belonging_jobs": list(jobs),
        **further,
    }


def both(plain: dict[str, Any], resources: dict[str, Any], *changes: str) -> Form:
    """Return a file with a machine and resources, which is loaded as each of them."""
    content = {"machine": plain, "resources": resources}
    return Form(plain=content, kinds=(Machine, Resources), changes=changes)


def one(kind: type[Machine | Resources | Task], plain: dict[str, Any], *changes: str) -> Form:
    """Return a file with one thing in it."""
    return Form(plain=plain, kinds=(kind,), changes=changes)


_CLOUD: Final[dict[str, Any]] = {
    "job_type": "indicate",
    "log_file": "a.log",
    "command": "",
    "backward_files": [],
    "job_name": "a",
    "machine": {"platform": "ali", "resources": {"cpu_num": 4, "image_name": "a"}},
    "job_resources": None,
}
_OPENAPI: Final = {
    "command": "x",
    "job_name": "a",
    "machine_type": "c4_m15_1 * NVIDIA T4",
    "image_address": "registry/a:1",
    "project_id": 154,
}
EXAMPLES: Final[dict[str, Form]] = {
    "expanse.json": one(Machine, {**ssh("Slurm", port=22), "clean_asynchronously": True}),
    "expanse.json of old": one(Machine, ssh("Slurm", port="22"), "port: '22' → 22"),
    "mandu.json": one(Machine, ssh("Shell", port=22)),
    "lazy_local.json": one(Machine, machine("Shell", "LazyLocalContext")),
    "ssh_proxy_command.json": one(
        Machine,
        {
            **ssh("Shell", key_filename="~/.ssh/id", proxy_command="ssh -W a:22 b"),
            "create_remote_root": True,
        },
    ),
    "expanse_cpu.json": one(
        Resources,
        {**ASKED, "custom_flags": ["#SBATCH -c 32"], "envs": {"A": 4}, "batch_type": "Slurm"},
    ),
    "expanse_cpu.json of old": one(
        Resources,
        {
            **TEXT_CORES,
            "group_size": "1",
            "batch_type": "Slurm",
            "kwargs": {"custom_gpu_line": "#SBATCH --gpus=0"},
        },
        "number_node: '1' → 1",
        "group_size: '1' → 1",
    ),
    "mandu.json of resources": one(
        Resources,
        {**ASKED, "group_size": 0, "para_deg": 6, "strategy": {"if_cuda_multi_devices": True}},
    ),
    "tiger.json": one(
        Resources,
        {
            "kwargs": {"qos": "short"},
            "strategy": {"customized_script_header_template_file": "./template.slurm"},
            "group_size": 2000,
        },
    ),
    "deepmd-kit.json": one(Task, TASK),
    "g16.json": one(Task, {"command": "g16 < a ||:", "task_work_path": "p1/"}),
    "submit_example.json": Form(
        plain={
            "work_base": "0_md/",
            "machine": machine("Shell", "LazyLocalContext"),
            "resources": ASKED,
            "task_list": [TASK],
        },
        kinds=(Submission,),
    ),
}
FIXTURES: Final[dict[str, Form]] = {
    "batch.json": one(Machine, machine("pbs", "lazy_local", remote_root="./tmp/"), "'LazyLocal'"),
    "ssh_machine.json": one(
        Machine,
        machine("pbs", "ssh", remote_root="/scratch/alice", hostname="login.hpc1", username="al"),
        "hostname → remote_profile.hostname",
    ),
    "machine.json": both(
        machine("PBS", "LocalContext", remote_root="./", remote_profile={}), ASKED
    ),
    "machine_ali_ehpc.json": both(ssh("PBS"), ASKED),
    "machine_JH_UniScheduler.json": both(
        machine("JH_UniScheduler", "local", remote_root="/r"), ASKED
    ),
    "machine_fugaku.json": both(
        ssh("fugaku", key_filename="/k", passphrase="geheim"),
        {"group_size": 1, "cpu_per_node": 48, "source_list": [""], "custom_flags": ["#PJM -x A=b"]},
        "'Fugaku'",
    ),
    "machine_if_cuda_multi_devices.json": both(
        machine("Shell", "LocalContext", remote_root="tmp/", remote_profile={}),
        {**ASKED, "para_deg": 2, "strategy": {"if_cuda_multi_devices": True}},
    ),
    "machine_lazy_local_lsf.json": both(
        machine("LSF", "LazyLocalContext"),
        {
            **ASKED,
            **LISTS,
            "prepend_script": ["echo a"],
            "append_script": ["echo b"],
            "kwargs": {"gpu_usage": True, "gpu_new_syntax": True, "gpu_exclusive": False},
        },
    ),
    "machine_lazy_local_slurm.json": both(
        machine("Slurm", "LazyLocalContext"),
        {**ASKED, **LISTS, "custom_gpu_line": "#SBATCH --gres=gpu:a:2"},
        "resources.custom_gpu_line → kwargs.custom_gpu_line",
    ),
    "machine_lsf.json": both(ssh("LSF", port=56789), {**ASKED, **LISTS, "kwargs": {}}),
    "machine_yarn.json": both(
        machine("DistributedShell", "HDFSContext", remote_root="/user/alice"),
        {
            **ASKED,
            "allow_failure": True,
            "ratio_failue": 0.05,
            "with_mpi": True,
            "cluster": "c",
            "kwargs": {"yarn_path": "/opt/yarn", "img_name": "hub/a:1", "mem_limit": 64},
            "envs": {},
        },
        "resources.allow_failure: left out",
        "resources.with_mpi: left out",
    ),
    "resources.json": one(
        Resources, {**ASKED, **PLAIN_LISTS, "envs": {}, "wait_time": 0, "kwargs": {}}
    ),
    "task.json": one(Task, TASK),
    "submission.json": Form(
        plain=record(
            {**ASKED, **PLAIN_LISTS},
            job({**ASKED, **PLAIN_LISTS}),
            machine=machine("PBS", "LocalContext", remote_root="tmp/", remote_profile={}),
        ),
        kinds=(Submission,),
        changes=("belonging_jobs → task_list",),
    ),
    "submission.json before there are jobs": Form(
        plain=record(ASKED, machine=machine("PBS", "LazyLocal"), belonging_tasks=[TASK]),
        kinds=(Submission,),
        changes=("belonging_tasks → task_list",),
    ),
}
#: with words; DPDispatcher 1.1.0 takes none of them either, but for the job
REFUSED: Final[dict[str, Form]] = {
    "job.json": Form(plain=job(ASKED), refused="Job.deserialize reads it"),
    "machine_center.json": Form(
        plain={
            "batch_lazy_pbs": machine("pbs", "lazy_local"),
            "resources_gpu": ASKED,
        },
        refused="batch_lazy_pbs, resources_gpu in a file of its own each",
    ),
    "machine_diffenert.json": Form(
        plain={"train": {"batch": machine("pbs", "lazy_local"), "resources": ASKED}},
        refused="expected what stands under train in a file of its own each",
    ),
    "machine_dp_cloud_server.json": Form(
        plain={
            "machine": machine(
                "DpCloudServer",
                "DpCloudServerContext",
                remote_profile={"username": "al", "password": "", "input_data": _CLOUD},
            ),
            "resources": ASKED,
        },
        refused="username: is refused: DPDispatcher takes it no more either; expected email, or phone",
    ),
    "ssh_jump_host.json": Form(
        plain=ssh("Shell", jump_hostname="b", jump_username="al"),
        refused="jump_hostname: is refused: no release of DPDispatcher knows it; expected proxy_command",
    ),
    "d3c842c5b9476e48f7145b370cd330372b9293e1.json": Form(
        plain=record({"resources": EARLY, "slurm_sbatch_dict": {"mem": "10G"}}, job(EARLY)),
        refused="resources.slurm_sbatch_dict: is refused",
    ),
}
#: loads with what it lacks: a machine, or its local_root; `jobferry convert` takes it as it is
LACKING: Final[dict[str, Form]] = {
    "0_md/submission.json": Form(
        plain=record(EARLY, job(EARLY, task_need_resources=0.25)),
        kinds=(Submission,),
        changes=(
            "names no machine: submit it with --cluster NAME",
            "resources.if_cuda_multi_devices → strategy.if_cuda_multi_devices",
            "task_list[].task_need_resources: left out",
        ),
        refused="machine: is missing",
    ),
    "machine_openapi.json": Form(
        plain={
            "command": "lmp",
            "machine": {
                "batch_type": "OpenAPI",
                "context_type": "OpenAPIContext",
                "remote_profile": _OPENAPI,
            },
            "resources": {"group_size": 10},
        },
        kinds=(Machine,),
        changes=("machine.local_root: missing → null", "command: left out"),
        refused="local_root: is missing",
    ),
}
FORMS: Final = {**EXAMPLES, **FIXTURES}
