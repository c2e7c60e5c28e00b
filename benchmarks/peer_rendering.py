"""What DPDispatcher renders for so many jobs; runs in an environment of its own. Prints seconds and bytes as JSON."""

import json
import sys
import time

from dpdispatcher import Machine, Resources, Submission, Task

given = json.loads(sys.argv[1])
machine = Machine.load_from_dict(
    {
        "batch_type": "Slurm",
        "context_type": "LocalContext",
        "local_root": given["root"],
        "remote_root": given["root"],
    }
)
tasks = [Task(command=f"./relax {number}", task_work_path=".") for number in range(given["jobs"])]
submission = Submission(
    work_base=".",
    machine=machine,
    resources=Resources.load_from_dict(given["resources"]),
    task_list=tasks,
)
submission.generate_jobs()
wall, begin = time.perf_counter(), time.process_time()
made = sum(
    len(machine.gen_script(job)) + len(machine.gen_script_command(job))
    for job in submission.belonging_jobs
)
spent, elapsed = time.process_time() - begin, time.perf_counter() - wall
print(json.dumps({"processor": spent, "elapsed": elapsed, "bytes": made}))
