"""Every feature of resources as a case with golden files; `python -m tests.common.scripts.cases` writes them anew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jobferry_common.names import AttemptKey, token_of
from jobferry_common.scripts.layout import Layout
from jobferry_common.scripts.render import batch_files
from tests.common.scripts.workbench import RUN, header_of, resources_of, scheduler, task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobferry_common.document import TaskSpec

GOLDEN: Final = Path(__file__).parent / "golden"

_RELAX: Final = task("lmp -in in.relax", "task 0", backward=("out.dat", "*.restart"))
_ODD: Final = task(
    "cat <<EOF\ntwo lines\nEOF",
    "it's $(x)/[a]",
    outlog="-log ü",
    errlog=None,
    backward=("a\nb", "back\\slash", "~/x", "{a,b}"),
)
_SILENT: Final = task("true", ".", outlog=None, errlog=None)

#: resources; `_tasks`, `_attempts` and the keyword arguments of `batch_files` stand beside them
CASES: Final[Mapping[str, Mapping[str, Any]]] = {
    "plain": {},
    "array": {"_tasks": [_RELAX, _RELAX, _SILENT], "_attempts": ((0, 1), (2, 3)), "array": True},
    "groups": {"group_size": 2, "_tasks": [_RELAX, _SILENT, _RELAX], "_attempts": ((0, 1), (1, 1))},
    "hostile_names": {"group_size": 0, "_tasks": [_ODD, _SILENT], "queue_name": "a b"},
    "in_place": {"_in_place": True},
    "login_shell": {"login_shell": True},
    "requeue": {"requeue": True},
    "elsewhere": {"elsewhere": True, "envs": {"A": 1}, "prepend_script": ["true"]},
    "nodes": {"number_node": 2, "cpu_per_node": 8, "gpu_per_node": 4, "queue_name": "gpu"},
    "ranks_and_threads": {"ntasks_per_node": 2, "cpus_per_task": 4},
    "window": {"group_size": 8, "para_deg": 4},
    "gpu_of_each_slot": {
        "para_deg": 2,
        "gpu_per_node": 2,
        "strategy": {"if_cuda_multi_devices": True},
    },
    "modules": {
        "module_purge": True,
        "module_unload_list": ["singularity"],
        "module_list": ["gcc/12 openmpi", "lammps"],
    },
    "source_list": {"source_list": ["./slurm_test.env", "/opt/conda/bin/activate my env"]},
    "envs": {"envs": {"OMP_NUM_THREADS": 4, "PATH": ["/a b:$PATH", '"$HOME"/bin:$PATH', "'x'"]}},
    "prepend_and_append": {
        "prepend_script": ["f() {", "  echo 'it is'", "}"],
        "append_script": ["f # the end", "rm -rf scratch"],
    },
    "custom_flags": {"custom_flags": ["#PLAIN --mem=4G", "#PLAIN --exclusive"]},
    "header_template": {
        "_template": "#!/bin/bash\n#OTHER nodes={number_node} queue={queue_name}\n",
        "custom_flags": ["#OTHER more"],
        "queue_name": "big",
    },
    "wait_time": {"wait_time": 1.5},
}


def rendered(case: str) -> str:
    """Return all files of a case but those that all have, one after the other."""
    given = dict(CASES[case])
    tasks: list[TaskSpec] = given.pop("_tasks", [_RELAX])
    attempts = [AttemptKey(*attempt) for attempt in given.pop("_attempts", ((0, 1),))]
    options = {
        name: given.pop(name, False) for name in ("login_shell", "array", "requeue", "elsewhere")
    }
    header = replace(
        header_of(resources_of(), len(tasks)),
        in_place=given.pop("_in_place", False),
        header_template=given.pop("_template", None),
        resources=resources_of(**given),
    )
    layout = Layout.of(header, RUN, "/scratch/alice", "1f")
    jobs = {at.job: [(i, tasks[i]) for i in header.tasks_of(at.job)] for at in attempts}
    token = token_of(RUN, attempts)
    files = batch_files(layout, header, scheduler(), token, attempts, jobs, **options)
    return "".join(
        f"=== {file.path} {file.mode:o}\n{file.content.decode()}"
        for file in files
        if file.path not in {layout.runtime, layout.environment}
    )


def main() -> None:
    """Write the golden files."""
    for case in CASES:
        (GOLDEN / f"{case}.txt").write_text(rendered(case))


if __name__ == "__main__":
    main()
