"""What DPDispatcher is asked to do; runs in an environment of its own. Prints the seconds it took."""

import json
import sys
import time

from dpdispatcher import Machine, Resources, Submission, Task

given = json.loads(sys.argv[1])
machine = Machine.load_from_dict({"batch_type": "Slurm", **given["machine"]})
resources = Resources.load_from_dict(
    {
        "number_node": 1,
        "cpu_per_node": 1,
        "gpu_per_node": 0,
        "queue_name": "main",
        "group_size": 1,
    }
)
tasks = [
    Task(
        command="cat in > out",
        task_work_path=f"t{number}",
        forward_files=["in"],
        backward_files=["out"],
    )
    for number in range(given["jobs"])
]
submission = Submission(
    work_base="work",
    machine=machine,
    resources=resources,
    task_list=tasks,
)
begin = time.perf_counter()
submission.run_submission(check_interval=1)
print(time.perf_counter() - begin)
