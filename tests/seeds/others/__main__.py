"""Programs of others, as they are, on jobferry: `python -m tests.seeds.others dpgen apex`.

It needs an environment of its own with jobferry and them (`pip install . dpgen apex-flow`), which is too heavy for CI.
The one change: the name `dpdispatcher` means `jobferry`.
"""

from __future__ import annotations

import os
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import jobferry

MACHINE: Final = {
    "batch_type": "Shell",
    "context_type": "LocalContext",
    "local_root": "./",
    "remote_root": "./remote",
}
RESOURCES: Final = {
    "number_node": 1,
    "cpu_per_node": 1,
    "gpu_per_node": 0,
    "queue_name": "",
    "group_size": 1,
}
WORK: Final[dict[str, Any]] = {
    "commands": ["cat in > out", "wc -c out"],
    "work_path": "work",
    "run_tasks": ["t0", "t1"],
    "group_size": 1,
    "forward_common_files": [],
    "forward_files": ["in"],
    "backward_files": ["out"],
    "outlog": "task.log",
    "errlog": "task.log",
}


def dpgen() -> None:
    """Let DP-GEN check a machine file, make its submission and run it."""
    from dargs import Argument

    dispatcher = import_module("dpgen.dispatcher.Dispatcher")
    plain = {"command": "lmp", "machine": MACHINE, "resources": RESOURCES}
    described = Argument("mdata", dict, dispatcher.mdata_arginfo())
    described.check_value(described.normalize_value(plain), strict=True)
    dispatcher.make_submission_compat(machine=MACHINE, resources=RESOURCES, **WORK)


def apex() -> None:
    """Let APEX make its submission, and run it as its steps do."""
    dispatcher = import_module("apex.core.lib.dispatcher")
    made = dispatcher.make_submission(mdata_machine=MACHINE, mdata_resources=RESOURCES, **WORK)
    made.run_submission()


def main() -> None:
    """Run the programs that are named, each in a directory of its own."""
    sys.modules["dpdispatcher"] = jobferry
    for name in sys.argv[1:] or ["dpgen", "apex"]:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["JOBFERRY_STACK__DIRECTORY"] = f"{folder}/s"
            os.chdir(folder)
            for task in WORK["run_tasks"]:
                Path("work", task).mkdir(parents=True)
                Path("work", task, "in").write_text(f"input of {task}\n", encoding="utf-8")
            try:
                {"dpgen": dpgen, "apex": apex}[name]()
                found = [Path("work", task, "out").read_text("utf-8") for task in WORK["run_tasks"]]
                assert found == [f"input of {task}\n" for task in WORK["run_tasks"]], found
            finally:
                from jobferry import stack
                from jobferry_common.settings import load_settings

                stack.down(load_settings())
                os.chdir("/")
        sys.stdout.write(f"{name}: results are here\n")


if __name__ == "__main__":
    main()
