"""The names that `tests/seeds/names.py` holds against those of an installed DPDispatcher: 1 if they differ.

    python -m tests.seeds.others.names

in an environment of its own with jobferry and `dpdispatcher==1.1.0`.
"""

from __future__ import annotations

import pkgutil
import sys
from importlib import import_module

from tests.seeds.names import JOB_STATUS, MODULES, PUBLIC


def public(thing: object) -> set[str]:
    """Return the names of a thing that do not begin with `_`."""
    return {name for name in dir(thing) if not name.startswith("_")}


def held() -> dict[str, set[str]]:
    """Return the names of what a user of it holds."""
    theirs = import_module("dpdispatcher")
    cores = {"number_node": 1, "cpu_per_node": 1, "gpu_per_node": 0, "queue_name": ""}
    resources = theirs.Resources.load_from_dict({**cores, "group_size": 1})
    where = {"batch_type": "Shell", "context_type": "LazyLocal", "local_root": "./"}
    machine = theirs.Machine.load_from_dict(where)
    task = theirs.Task("true", "a")
    submission = theirs.Submission("./", machine, resources, task_list=[task])
    submission.generate_jobs()
    things = (machine, resources, task, submission.belonging_jobs[0], submission)
    return dict(zip(PUBLIC, map(public, things), strict=True))


def modules() -> dict[str, set[str]]:
    """Return the names that are defined in each of its modules."""
    theirs = import_module("dpdispatcher")
    found = {}
    for info in pkgutil.walk_packages(theirs.__path__, "dpdispatcher."):
        module = import_module(info.name)
        own = {
            n for n in public(module) if getattr(getattr(module, n), "__module__", "") == info.name
        }
        if own:
            found[info.name.removeprefix("dpdispatcher.")] = own
    return found


def main() -> int:
    """Compare, and say what differs."""
    status = import_module("dpdispatcher.utils.job_status").JobStatus
    pairs = [(name, held()[name], set(PUBLIC[name].split())) for name in PUBLIC]
    pairs += [(name, own, set(MODULES.get(name, "").split())) for name, own in modules().items()]
    pairs.append(("JobStatus", {one.name for one in status}, set(JOB_STATUS)))
    differing = [(name, theirs ^ ours) for name, theirs, ours in pairs if theirs != ours]
    for name, names in differing:
        sys.stdout.write(f"{name}: {', '.join(sorted(names))}\n")
    sys.stdout.write(f"{len(pairs)} compared, {len(differing)} differ\n")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
