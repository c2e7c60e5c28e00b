"""Bohrium and OpenAPI: jobs in a container on a cloud, over HTTP; what a bridge has to know of resources and states.

    #!/bin/bash -l
    #CLOUD nodes=1
    #CLOUD cpus=8
    #CLOUD gpus=1
    #CLOUD minutes=720

The size of machine and the image stand in the `remote_profile`, as in DPDispatcher. A size whose name tells what it has
("c8_m32_1 * NVIDIA V100") is compared with what a job asks for: too much is refused by name. There are no queues:
queue_name reaches the script alone, as DPDISPATCHER_QUEUE_NAME.

>>> Asked.of(["#CLOUD nodes=2", "#CLOUD cpus=8"]).cpus
8
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Self

from jobferry_common.models.amounts import mebibytes, seconds
from jobferry_common.models.cloud_input import machine_size
from jobferry_common.schedulers.asked import refuse_others, word
from jobferry_common.schedulers.base import Phase
from jobferry_common.states import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from jobferry_common.models.resources import Resources

_MARK: Final = "#CLOUD "
_CAN: Final = ("cpus_per_task", "memory_per_node", "time_limit", "exclusive")
_MINUTE: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What one number of the platform means."""

    phase: Phase
    words: str
    outcome: Outcome | None = None


#: the numbers that the platform's own clients know
STATES: Final[Mapping[int, State]] = MappingProxyType(
    {
        -1: State(phase=Phase.ENDED, words="failed", outcome=Outcome.FAILED),
        0: State(phase=Phase.QUEUED, words="waiting"),
        1: State(phase=Phase.RUNNING, words="running"),
        2: State(phase=Phase.ENDED, words="finished", outcome=Outcome.SUCCEEDED),
        3: State(phase=Phase.QUEUED, words="being scheduled"),
        4: State(phase=Phase.RUNNING, words="running"),
        5: State(phase=Phase.ENDED, words="terminated", outcome=Outcome.CANCELLED),
        6: State(phase=Phase.RUNNING, words="running"),
        9: State(phase=Phase.QUEUED, words="waiting"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a job asks of its machine."""

    nodes: int = 1
    cpus: int = 1  #: of each node
    gpus: int = 0  #: of each node
    memory: int = 0  #: GiB of each node
    minutes: int | None = None

    @classmethod
    def of(cls, header: Iterable[str]) -> Self:
        """Read the lines of a header; those of others are left alone."""
        pairs = [line.removeprefix(_MARK).split("=") for line in header if line.startswith(_MARK)]
        known = {field.name for field in fields(cls)}
        return cls(
            **{pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[0] in known}  # noqa: PLR2004
        )

    def too_much_for(self, machine: str) -> str:
        """Return what a size of machine lacks, as words; "" where it has all, or its name does not tell."""
        size = machine_size(machine)
        if size is None:
            return ""
        names = ("cpu_per_node", "memory_per_node", "gpu_per_node")
        asked = (self.cpus, self.memory, self.gpus)
        lacking = [
            f"resources.{name} asks for {wanted}, and {machine!r} has {there}"
            for name, wanted, there in zip(names, asked, size, strict=True)
            if wanted > there
        ]
        return "; ".join(lacking)


def cloud_header(name: str, resources: Resources) -> Iterator[str]:
    """Return the lines for a bridge; a machine is nobody else's, so `exclusive` is true in any case.

    Raises:
        BadInput: a field cannot be expressed.
    """
    refuse_others(resources, name, can=_CAN)
    if resources.queue_name:
        word(resources, "queue_name", f"name of a queue of {name}")
    yield f"{_MARK}nodes={resources.number_node}"
    yield f"{_MARK}cpus={resources.cpu_per_node}"
    if resources.gpu_per_node:
        yield f"{_MARK}gpus={resources.gpu_per_node}"
    if resources.memory_per_node is not None:
        yield f"{_MARK}memory={math.ceil(mebibytes(resources.memory_per_node) / 1024)}"
    if resources.time_limit is not None:
        yield f"{_MARK}minutes={math.ceil(seconds(resources.time_limit) / _MINUTE)}"
    if resources.cpus_per_task is not None:
        yield f"{_MARK}threads={resources.cpus_per_task}"
    if resources.exclusive:
        yield f"{_MARK}exclusive=1"
    yield from resources.custom_flags
