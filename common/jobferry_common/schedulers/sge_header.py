"""The `#$` lines of resources.

#$ -S /bin/bash
#$ -N relax
#$ -pe mpi 32
#$ -q long.q
#$ -l h_vmem=4000M
#$ -l h_rt=12:00:00
#$ -P physics
#$ -l arch=lx-amd64
#$ -l h=!(n3|n17)
#$ -r n

SGE counts slots: number_node x cpu_per_node of them are asked for, and the allocation rule of the parallel environment
spreads them over hosts. What else resources say is said so:

- memory_per_node becomes h_vmem of each slot, the limit that is built in and counts for each slot.
- account becomes the project (-P), which SGE checks; the account string (-A) is but a note in the accounting.
- constraint is a list of attributes for -l, in SGE's own words: `arch=lx-amd64`, `infiniband`.
- qos and exclusive have no general way. Nor have GPUs: gpu_per_node wants the line of the site beside it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import BadInput, Problem
from jobferry_common.models.amounts import mebibytes
from jobferry_common.schedulers.asked import refuse_others, word

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobferry_common.models.resources import Resources

_CAN: Final = (
    *("ntasks_per_node", "cpus_per_task", "memory_per_node"),
    *("time_limit", "account", "constraint", "exclude_nodes"),
)


def header_of(resources: Resources, *, requeue: bool) -> Iterator[str]:
    """Return the lines; the custom_flags come last."""
    refuse_others(resources, "SGE", can=_CAN)
    kwargs = resources.kwargs
    yield "#$ -S /bin/bash"
    if kwargs.job_name:
        yield f"#$ -N {_one_word('kwargs.job_name', kwargs.job_name)}"
    slots = resources.number_node * resources.cpu_per_node
    yield f"#$ -pe {_one_word('kwargs.pe_name', kwargs.pe_name)} {slots}"
    yield from _gpus(resources)
    if resources.queue_name:
        meaning = "name of an SGE queue, or of several with commas between them"
        yield f"#$ -q {word(resources, 'queue_name', meaning)}"
    yield from _optional(resources)
    yield f"#$ -r {'y' if requeue else 'n'}"
    yield from resources.custom_flags


def _optional(resources: Resources) -> Iterator[str]:
    if resources.memory_per_node is not None:
        each = math.ceil(mebibytes(resources.memory_per_node) / resources.cpu_per_node)
        yield f"#$ -l h_vmem={each}M"
    if resources.time_limit is not None:
        yield f"#$ -l h_rt={resources.time_limit}"
    if resources.account is not None:
        yield f"#$ -P {word(resources, 'account', 'name of an SGE project')}"
    if resources.constraint is not None:
        meaning = "list of SGE attributes, such as 'arch=lx-amd64' or 'infiniband,scratch=10G'"
        yield f"#$ -l {word(resources, 'constraint', meaning)}"
    if resources.exclude_nodes:
        yield f"#$ -l h=!({'|'.join(resources.exclude_nodes)})"


def _gpus(resources: Resources) -> Iterator[str]:
    """Return the user's own line; custom_flags may hold it as well."""
    if line := resources.kwargs.custom_gpu_line:
        yield line
    elif resources.gpu_per_node and not resources.custom_flags:
        what = (
            "SGE has no general way to ask for GPUs; write the line of your site, such as '#$ -l gpu=1', "
            "into custom_flags or kwargs.custom_gpu_line"
        )
        raise BadInput([Problem("resources.gpu_per_node", what)])


def _one_word(field: str, text: str) -> str:
    if text.split() == [text] and text[0] != "-" and not set(text) & set("\"'\\#/:@"):
        return text
    raise BadInput([Problem(f"resources.{field}", f"{text!r} is no name that SGE takes")])
