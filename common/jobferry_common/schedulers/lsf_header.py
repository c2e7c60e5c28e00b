"""The #BSUB lines of resources, and the #JSUB lines of JH_UniScheduler.

    #BSUB -n 16                                                         #JSUB -n 16
    #BSUB -R "select[skylake] rusage[mem=64000MB] span[ptile=8]"        #JSUB -R "… rusage[mem=64000/host] …"
    #BSUB -gpu 'num=1:mode=shared:j_exclusive=yes'                      #JSUB -gpgpu 1
    #BSUB -q gpu                                                        …
    #BSUB -W 720
    #BSUB -P physics
    #BSUB -x

-n counts job slots, and a slot is a core on most sites: so ranks of several threads ask for all of their cores with
-n and span[ptile=…], and OMP_NUM_THREADS says how many each rank has. Memory is reserved on each host, which is LSF's
default; a site with RESOURCE_RESERVE_PER_TASK=y reserves it for each slot, and JH_UniScheduler does so unless told
otherwise. Its unit is written out for LSF, since a number alone means what LSF_UNIT_FOR_LIMITS says; LSF before
10.1.0.2 refuses the unit. No limit is set with -M: whether it
holds for a process or for the job is the site's choice. -W counts whole minutes.

As with DPDispatcher, GPUs are asked for where kwargs.gpu_usage or kwargs.custom_gpu_line says so.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import BadInput, Problem
from jobferry_common.models.amounts import mebibytes, seconds
from jobferry_common.schedulers.asked import refuse_others, word

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobferry_common.models.resources import Resources

_CAN: Final = (
    "ntasks_per_node",
    "cpus_per_task",
    "memory_per_node",
    "time_limit",
    "account",
    "constraint",
    "exclusive",
)
_BRACKETS: Final = re.compile(r"[\[\]]")


def lsf_header(resources: Resources, *, requeue: bool) -> Iterator[str]:
    """Return the lines; the custom_flags come last."""
    refuse_others(resources, "LSF", can=_CAN)
    yield from _common("#BSUB", resources, "MB", _gpus(resources), "LSF")
    if requeue:
        yield "#BSUB -r"
    yield from resources.custom_flags


def jh_header(resources: Resources, *, requeue: bool) -> Iterator[str]:
    """Return the lines; the custom_flags come last."""
    refuse_others(resources, "JH_UniScheduler", can=_CAN)
    number = resources.gpu_per_node
    yield from _common(
        "#JSUB", resources, "/host", f"-gpgpu {number}" if number else None, "JH_UniScheduler"
    )
    if requeue:
        yield "#JSUB -r"
    yield from resources.custom_flags


def _common(
    mark: str, resources: Resources, unit: str, gpus: str | None, name: str
) -> Iterator[str]:
    yield f"{mark} -n {resources.number_node * resources.cpu_per_node}"
    yield f'{mark} -R "{" ".join(_requirements(resources, unit, name))}"'
    if resources.kwargs.custom_gpu_line:
        yield resources.kwargs.custom_gpu_line
    elif gpus:
        yield f"{mark} {gpus}"
    if resources.queue_name:
        yield f"{mark} -q {word(resources, 'queue_name', f'name of a queue of {name}')}"
    if resources.time_limit is not None:
        yield f"{mark} -W {math.ceil(seconds(resources.time_limit) / 60)}"
    if resources.account is not None:
        yield f"{mark} -P {word(resources, 'account', f'name of a project of {name}')}"
    if resources.exclusive:
        yield f"{mark} -x"


def _requirements(resources: Resources, unit: str, name: str) -> Iterator[str]:
    """Return the sections of one -R: some descendants of LSF heed the last one only."""
    if resources.constraint is not None:
        meaning = f"requirement for select[…] of {name}, such as 'skylake' or 'mg&&avx2'"
        text = word(resources, "constraint", meaning)
        if _BRACKETS.search(text):
            raise BadInput([Problem("resources.constraint", f"{text!r} is no {meaning}")])
        yield f"select[{text}]"
    if resources.memory_per_node is not None:
        yield f"rusage[mem={mebibytes(resources.memory_per_node)}{unit}]"
    yield f"span[ptile={resources.cpu_per_node}]"


def _gpus(resources: Resources) -> str | None:
    """Return the request for GPUs, in the syntax of LSF 10 or in the older one."""
    number, kwargs = resources.gpu_per_node, resources.kwargs
    if not number or not kwargs.gpu_usage:
        return None
    if kwargs.gpu_new_syntax:
        alone = "yes" if kwargs.gpu_exclusive else "no"
        return f"-gpu 'num={number}:mode=shared:j_exclusive={alone}'"
    return f"-R 'select[ngpus>0] rusage[ngpus_excl_p={number}]'"
