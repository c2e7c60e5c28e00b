"""DistributedShell: an application of YARN that runs one script in one container.

Resources of 4 cores with 8 GB in the queue `batch` become

    #YARN -queue batch
    #YARN -container_memory 8192
    #YARN -container_vcores 4

These lines are the options of Hadoop's client, which the worker's bridge calls (custom_flags may hold more of them):

    hadoop jar …distributedshell….jar org.apache.hadoop.yarn.applications.distributedshell.Client -jar …
        -appname relax.jf.3f2a… -num_containers 1 -shell_script bootstrap.sh -queue batch …

`yarn application -list -appStates ALL` lists what there is, and `yarn application -kill` ends it. YARN knows no time
limit for a container, and no project that pays beside the queue.

Written from Hadoop's documentation and the sources of its client; nobody has tried it on a real YARN yet.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import BadInput, Problem
from jobferry_common.models.amounts import mebibytes
from jobferry_common.schedulers.asked import refuse_others, word
from jobferry_common.scripts.quoting import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobferry_common.models.resources import Resources

MARK: Final = "#YARN"
_NAME: Final = "DistributedShell"
_CAN: Final = ("cpus_per_task", "memory_per_node", "constraint")
#: of a container, where nobody says more; DPDispatcher's mem_limit is 1 GB, too
_MEMORY: Final = 1024
_IMAGE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*\Z", re.ASCII)


def distributed_shell_header(resources: Resources) -> Iterator[str]:
    """Return the lines; the custom_flags come last.

    Raises:
        BadInput: it asks for what YARN cannot express.
    """
    refuse_others(resources, _NAME, can=_CAN)
    _one_node(resources)
    kwargs = resources.kwargs
    if kwargs.yarn_path:
        yield _line("-jar", kwargs.yarn_path)
    if resources.queue_name:
        yield _line("-queue", word(resources, "queue_name", "name of a queue of YARN"))
    yield from _container(resources)
    if resources.says_threads:
        yield _line("-shell_env", f"OMP_NUM_THREADS={resources.threads_per_rank}")
    if resources.constraint is not None:
        label = word(resources, "constraint", "expression of node labels of YARN")
        yield _line("-node_label_expression", label)
    if kwargs.img_name:
        yield _line("-shell_env", "YARN_CONTAINER_RUNTIME_TYPE=docker")
        yield _line("-shell_env", f"YARN_CONTAINER_RUNTIME_DOCKER_IMAGE={_image(kwargs.img_name)}")
    yield from resources.custom_flags


def _container(resources: Resources) -> Iterator[str]:
    limit = resources.kwargs.mem_limit
    memory = limit * 1024 if limit else _MEMORY
    if resources.memory_per_node is not None:
        memory = mebibytes(resources.memory_per_node)
    yield _line("-container_memory", str(memory))
    yield _line("-container_vcores", str(resources.cpu_per_node))
    if resources.gpu_per_node:  # since Hadoop 3.1
        yield _line("-container_resources", f"yarn.io/gpu={resources.gpu_per_node}")


def _image(name: str) -> str:
    """Return the name of an image: YARN writes it into a line of shell as it is."""
    if _IMAGE.match(name):
        return name
    raise BadInput([Problem("resources.kwargs.img_name", f"{name!r} is no name of an image")])


def _one_node(resources: Resources) -> None:
    if resources.number_node > 1:
        what = f"{_NAME} runs the script in one container; expected 1"
        raise BadInput([Problem("resources.number_node", what)])


def _line(option: str, value: str) -> str:
    return f"{MARK} {option} {words((value,))}"
