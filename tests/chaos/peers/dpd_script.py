"""What DPDispatcher is asked to do; runs in an environment of its own, and may be run again after it was killed."""

import json
import sys
from pathlib import Path

from dpdispatcher import Machine, Resources, Submission, Task

given = json.loads(Path(sys.argv[1]).read_text())
machine = Machine.load_from_dict(
    {
        "batch_type": "Slurm",
        "context_type": "LocalContext",
        "local_root": str(Path.cwd()),
        "remote_root": given["remote"],
    }
)
resources = Resources.load_from_dict(
    {"number_node": 1, "cpu_per_node": 1, "gpu_per_node": 0, "queue_name": "main", "group_size": 1}
)
tasks = [
    Task(
        command=command,
        task_work_path=f"t{number}",
        forward_files=["in"],
        backward_files=["out"],
    )
    for number, command in enumerate(given["commands"])
]
submission = Submission(work_base="work", machine=machine, resources=resources, task_list=tasks)
submission.run_submission(check_interval=1)
