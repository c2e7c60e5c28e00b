"""The #SBATCH lines of resources.

#SBATCH --nodes 2
#SBATCH --ntasks-per-node 4
#SBATCH --cpus-per-task 8
#SBATCH --gres=gpu:1
#SBATCH --partition gpu
#SBATCH --mem 64000M
#SBATCH --time 12:00:00
#SBATCH --account physics
#SBATCH --qos high
#SBATCH --constraint skylake
#SBATCH --exclusive
#SBATCH --exclude n3,n17
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobferry_common.models.amounts import mebibytes
from jobferry_common.schedulers.asked import word

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobferry_common.models.resources import Resources


def header_of(resources: Resources, *, requeue: bool) -> Iterator[str]:
    """Return the lines; the custom_flags come last."""
    yield f"#SBATCH --nodes {resources.number_node}"
    yield f"#SBATCH --ntasks-per-node {resources.ranks_per_node}"
    if resources.says_threads:
        yield f"#SBATCH --cpus-per-task {resources.threads_per_rank}"
    if resources.kwargs.custom_gpu_line:
        yield resources.kwargs.custom_gpu_line
    elif resources.gpu_per_node:
        yield f"#SBATCH --gres=gpu:{resources.gpu_per_node}"
    if resources.queue_name:
        meaning = "name of a Slurm partition, or of several with commas between them"
        yield f"#SBATCH --partition {word(resources, 'queue_name', meaning)}"
    yield from _optional(resources)
    yield "#SBATCH --requeue" if requeue else "#SBATCH --no-requeue"
    yield from resources.custom_flags


def _optional(resources: Resources) -> Iterator[str]:
    if resources.memory_per_node is not None:
        yield f"#SBATCH --mem {mebibytes(resources.memory_per_node)}M"
    if resources.time_limit is not None:
        yield f"#SBATCH --time {resources.time_limit}"
    if resources.account is not None:
        yield f"#SBATCH --account {word(resources, 'account', 'name of a Slurm account')}"
    if resources.qos is not None:
        yield f"#SBATCH --qos {word(resources, 'qos', 'name of a Slurm QOS')}"
    if resources.constraint is not None:
        meaning = "list of node features of Slurm, such as 'skylake' or 'a100|h100'"
        yield f"#SBATCH --constraint {word(resources, 'constraint', meaning)}"
    if resources.exclusive:
        yield "#SBATCH --exclusive"
    if resources.exclude_nodes:
        yield f"#SBATCH --exclude {','.join(resources.exclude_nodes)}"
