"""The #PBS lines of resources, in PBS's terms and in Torque's.

    #PBS -l select=2:ncpus=8:mpiprocs=4:ompthreads=2:mem=64000mb:ngpus=1       #PBS -l nodes=2:ppn=8:gpus=1:skylake
    #PBS -l place=excl                                                         #PBS -n
    #PBS -l walltime=12:00:00                                                  #PBS -l mem=128000mb
    #PBS -q gpu                                                                #PBS -l walltime=12:00:00
    #PBS -A physics                                                            …
    #PBS -r n

How chunks are spread over hosts is the site's default, as with DPDispatcher; `#PBS -l place=scatter` in custom_flags
asks for a host for each.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import BadInput, Problem
from jobferry_common.models.amounts import mebibytes
from jobferry_common.schedulers.asked import refuse_others, word

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobferry_common.models.resources import Resources

_EVERYWHERE: Final = (
    "ntasks_per_node",
    "cpus_per_task",
    "memory_per_node",
    "time_limit",
    "account",
    "exclusive",
)
_PROPERTY: Final = re.compile(r"[A-Za-z][\w.-]*(?::[A-Za-z][\w.-]*)*\Z", re.ASCII)


def pbs_header(resources: Resources, *, requeue: bool) -> Iterator[str]:
    """Return the lines; the custom_flags come last."""
    refuse_others(resources, "PBS", can=_EVERYWHERE)
    yield f"#PBS -l select={':'.join(_chunk(resources))}"
    if resources.exclusive:
        yield "#PBS -l place=excl"
    yield from _common(resources, "PBS", requeue=requeue)


def _chunk(resources: Resources) -> Iterator[str]:
    yield f"{resources.number_node}"
    yield f"ncpus={resources.cpu_per_node}"
    yield f"mpiprocs={resources.ranks_per_node}"
    if resources.says_threads:
        yield f"ompthreads={resources.threads_per_rank}"
    if resources.memory_per_node is not None:
        yield f"mem={mebibytes(resources.memory_per_node)}mb"
    if resources.gpu_per_node and not resources.kwargs.custom_gpu_line:
        yield f"ngpus={resources.gpu_per_node}"


def torque_header(resources: Resources, *, requeue: bool) -> Iterator[str]:
    """Return the lines; the custom_flags come last."""
    refuse_others(resources, "Torque", can=(*_EVERYWHERE, "constraint"))
    yield f"#PBS -l nodes={':'.join(_nodes(resources))}"
    if resources.exclusive:
        yield "#PBS -n"
    if resources.memory_per_node is not None:  # of the whole job
        yield f"#PBS -l mem={mebibytes(resources.memory_per_node) * resources.number_node}mb"
    yield from _common(resources, "Torque", requeue=requeue)


def _nodes(resources: Resources) -> Iterator[str]:
    yield f"{resources.number_node}"
    yield f"ppn={resources.cpu_per_node}"
    if resources.gpu_per_node and not resources.kwargs.custom_gpu_line:
        yield f"gpus={resources.gpu_per_node}"
    if resources.constraint is not None:
        if not _PROPERTY.match(resources.constraint):
            what = f"{resources.constraint!r} is no node property of Torque, nor several with colons between them"
            raise BadInput([Problem("resources.constraint", what)])
        yield resources.constraint


def _common(resources: Resources, name: str, *, requeue: bool) -> Iterator[str]:
    if resources.kwargs.custom_gpu_line:
        yield resources.kwargs.custom_gpu_line
    if resources.time_limit is not None:
        yield f"#PBS -l walltime={resources.time_limit}"
    if resources.queue_name:
        yield f"#PBS -q {word(resources, 'queue_name', f'name of a {name} queue')}"
    if resources.account is not None:
        yield f"#PBS -A {word(resources, 'account', f'name of a {name} account')}"
    yield f"#PBS -r {'y' if requeue else 'n'}"
    yield from resources.custom_flags
