"""The #PJM lines of resources.

    #PJM -L "rscgrp=small"
    #PJM -L "node=2"
    #PJM --mpi "max-proc-per-node=4"
    #PJM -x OMP_NUM_THREADS=12
    #PJM -L "elapse=12:00:00"
    #PJM -L "node-mem=28000Mi"
    #PJM -g ra000001

A resource group is what other batch systems call a queue; -g names the project's group, which Fugaku demands. Nodes
are given as a whole. Fugaku has no GPUs; on PJM's other sites the line that asks for them is the site's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jobferry_common.errors import BadInput, Problem
from jobferry_common.models.amounts import mebibytes
from jobferry_common.schedulers.asked import refuse_others, word

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobferry_common.models.resources import Resources

_CAN: Final = ("ntasks_per_node", "cpus_per_task", "memory_per_node", "time_limit", "account")


def fugaku_header(resources: Resources, *, requeue: bool) -> Iterator[str]:
    """Return the lines; the custom_flags come last."""
    refuse_others(resources, "Fugaku", can=_CAN)
    if resources.queue_name:
        yield f'#PJM -L "rscgrp={_group(resources)}"'
    yield f'#PJM -L "node={resources.number_node}"'
    yield f'#PJM --mpi "max-proc-per-node={resources.ranks_per_node}"'
    if resources.says_threads:
        yield f"#PJM -x OMP_NUM_THREADS={resources.threads_per_rank}"
    yield from _gpus(resources)
    if resources.time_limit is not None:
        yield f'#PJM -L "elapse={resources.time_limit}"'
    if resources.memory_per_node is not None:
        yield f'#PJM -L "node-mem={mebibytes(resources.memory_per_node)}Mi"'
    if resources.account is not None:
        yield f"#PJM -g {word(resources, 'account', 'name of a group of PJM')}"
    if requeue:
        yield "#PJM --restart"
    yield from resources.custom_flags


def _group(resources: Resources) -> str:
    meaning = "name of a resource group of PJM"
    text = word(resources, "queue_name", meaning)
    if "," in text:  # what follows would be a resource of its own
        raise BadInput([Problem("resources.queue_name", f"{text!r} is no {meaning}")])
    return text


def _gpus(resources: Resources) -> Iterator[str]:
    """Return the user's own line; custom_flags may hold it as well."""
    if line := resources.kwargs.custom_gpu_line:
        yield line
    elif resources.gpu_per_node and not resources.custom_flags:
        what = (
            "Fugaku has no GPUs, and PJM no general way to ask for them; write the line of your site, such as "
            "'#PJM -L gpu=1', into custom_flags or kwargs.custom_gpu_line"
        )
        raise BadInput([Problem("resources.gpu_per_node", what)])
