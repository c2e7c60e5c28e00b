"""Resources: what each job asks of the scheduler, and what its script does around the tasks.

    resources = Resources(group_size=5, cpu_per_node=4, queue_name="gpu", envs={"OMP_NUM_THREADS": 4})

Fields and defaults are those of DPDispatcher, and some that it lacks.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from pydantic import (
    ConfigDict,
    Field,
    SerializeAsAny,
    StrictBool,
    StrictStr,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)

from jobferry_common.models.amounts import Duration, Memory
from jobferry_common.models.base import Model
from jobferry_common.models.kinds import batch_type
from jobferry_common.models.older import Older, of_today
from jobferry_common.models.values import (
    Count,
    Environment,
    Line,
    Positive,
    Seconds,
    Share,
    Text,
    Texts,
    is_node,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jobferry_common.models.base import Fault


class Strategy(Model):
    """How tasks share a job, and when it counts as done."""

    if_cuda_multi_devices: StrictBool = False  #: each slot of para_deg gets a GPU of its own
    ratio_unfinished: Share = 0.0  #: at most this share of the tasks may be left undone
    customized_script_header_template_file: Text | None = None  #: replaces the script's header


class Kwargs(Model):
    """What only some batch types know; the others ignore it."""

    aliases: ClassVar[Mapping[str, str]] = {"sge_pe_name": "pe_name"}

    custom_gpu_line: Line | None = None  #: Slurm, LSF, JH_UniScheduler: replaces the GPU line
    slurm_job_size: Positive | None = None  #: SlurmJobArray: tasks of an element
    pe_name: Line = "mpi"  #: SGE: parallel environment
    job_name: Line | None = None  #: SGE
    gpu_usage: StrictBool = False  #: LSF: ask for GPUs
    gpu_new_syntax: StrictBool = False  #: LSF: with -gpu
    gpu_exclusive: StrictBool = True  #: LSF: nobody else on them
    yarn_path: Line | None = None  #: DistributedShell
    img_name: Line | None = None  #: DistributedShell
    mem_limit: Positive | None = None  #: DistributedShell, in GB


class TemplateKwargs(Kwargs):
    """Beside a header template, which may say any word: `{kwargs[partition]}`."""

    model_config = ConfigDict(extra="allow")


class Resources(Model):
    """The resources of each job."""

    older: ClassVar[Older] = Older(
        moved={
            "if_cuda_multi_devices": ("strategy", "if_cuda_multi_devices"),
            **{name: ("kwargs", name) for name in (*Kwargs.model_fields, *Kwargs.aliases)},
        },
        spent=frozenset({"allow_failure", "ratio_failue", "with_mpi", "cluster"}),
        quoted=frozenset({"number_node", "cpu_per_node", "gpu_per_node", "group_size"}),
        refused={
            "slurm_sbatch_dict": "no release of DPDispatcher knows it; expected memory_per_node, cpus_per_task, "
            "time_limit, or lines of custom_flags",
        },
    )

    number_node: Positive = 1  #: nodes of a job
    cpu_per_node: Positive = 1  #: cores on each node
    gpu_per_node: Count = 0  #: GPUs on each node
    queue_name: Line = ""  #: "": the scheduler's default
    group_size: Count = Field(description="the number of tasks in a job; 0: all in one")
    custom_flags: Texts = ()  #: more lines of the script's header
    strategy: Strategy = Strategy()  #: how tasks share a job, and when it counts as done
    para_deg: Positive = 1  #: tasks of a job that run at once
    module_unload_list: Texts = ()  #: modules that are unloaded
    module_purge: StrictBool = False  #: whether `module purge` comes first
    module_list: Texts = ()  #: modules that are loaded
    source_list: Texts = ()  #: files that the script sources, each with its arguments
    #: exported variables; a list: one export an item
    envs: Environment = Field(default_factory=dict)
    prepend_script: Texts = ()  #: lines of shell before the tasks
    append_script: Texts = ()  #: lines of shell behind the tasks
    wait_time: Seconds = 0.0  #: between two submits
    kwargs: SerializeAsAny[Kwargs] = Kwargs()  #: what only some batch types know
    batch_type: StrictStr | None = None  #: the machine's counts
    # What DPDispatcher lacks; a scheduler that cannot say it refuses it by name.
    ntasks_per_node: Positive | None = None  #: MPI ranks; None: cpu_per_node / cpus_per_task
    cpus_per_task: Positive | None = None  #: threads of a rank; OMP_NUM_THREADS, too
    memory_per_node: Memory | None = None  #: such as "16GB"
    time_limit: Duration | None = None  #: such as "12:00:00" or "2d"
    account: Line | None = None  #: who pays: account or project
    qos: Line | None = None  #: quality of service
    constraint: Line | None = None  #: on nodes, in the scheduler's own words
    exclusive: StrictBool = False  #: nobody else on the nodes
    exclude_nodes: Texts = ()  #: names of nodes to which no job is to go

    @field_validator("batch_type")
    @classmethod
    def _known(cls, text: str | None) -> str | None:
        return text and batch_type(text)

    @field_validator("kwargs", mode="wrap")
    @classmethod
    def _for_template(
        cls, value: object, check: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> Kwargs:
        strategy = info.data.get("strategy")
        if isinstance(value, dict) and strategy and strategy.customized_script_header_template_file:
            return TemplateKwargs.model_validate(value)
        found: Kwargs = check(value)
        return found

    @field_validator("custom_flags", "source_list", "module_list", "module_unload_list")
    @classmethod
    def _one_line_each(cls, lines: tuple[str, ...]) -> tuple[str, ...]:
        for line in lines:
            if "\n" in line or "\r" in line:
                msg = f"{line!r} holds a line break; expected one line in each item of the list"
                raise ValueError(msg)
        return lines

    @field_validator("exclude_nodes")
    @classmethod
    def _names(cls, nodes: tuple[str, ...]) -> tuple[str, ...]:
        for node in nodes:
            if not is_node(node):
                msg = f"{node!r} is no name of a node; expected one such as 'n17' in each item of the list"
                raise ValueError(msg)
        return nodes

    @classmethod
    def built(cls, data: Any, label: str) -> Self:  # noqa: ANN401
        """Return the resources of plain values: of their own, or of a file that holds a machine too."""
        if not holds_both(data):
            return super().built(data, label)
        found = MachineBeside.built(data, label).resources
        return cls.model_validate(found)

    @classmethod
    def called(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call, those that belong into `kwargs` there, as DPDispatcher takes them."""
        names = Kwargs.model_fields.keys() | Kwargs.aliases.keys()
        special = {key: value for key, value in given.items() if key in names}
        if not special or given.get("kwargs"):
            return given
        rest = {key: value for key, value in given.items() if key not in names}
        return {**rest, "kwargs": special}

    @classmethod
    def rewritten(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Return the resources of an object that holds a machine too."""
        inner = data.get("resources")
        if isinstance(inner, dict) and data.keys() <= _BESIDE:
            data = of_today(_without_comments(inner), cls.older)[0]
        cores = _product(data)
        return data if cores is None or "cpu_per_node" in data else {**data, "cpu_per_node": cores}

    @classmethod
    def faults(cls, data: Mapping[str, Any]) -> Iterator[Fault]:
        """Find what a GPU for each slot needs, and cores that do not add up."""
        yield from _cores(data)
        strategy = data.get("strategy")
        if isinstance(strategy, dict) and strategy.get("if_cuda_multi_devices") is True:
            where = ("strategy", "if_cuda_multi_devices")
            if data.get("number_node", 1) != 1:
                yield where, "works on one node only; expected number_node 1"
            if data.get("gpu_per_node", 0) in (0, None):
                yield where, "needs GPUs; expected gpu_per_node of at least 1"

    @property
    def ranks_per_node(self) -> int:
        """How many MPI ranks a node has; each has `threads_per_rank` of its `cpu_per_node` cores."""
        return self.cpu_per_node // self.threads_per_rank

    @property
    def threads_per_rank(self) -> int:
        """How many cores an MPI rank has."""
        if self.ntasks_per_node is not None:
            return self.cpu_per_node // self.ntasks_per_node
        return self.cpus_per_task or 1

    @property
    def says_threads(self) -> bool:
        """Whether the threads of a rank are more than the one that nobody need speak of."""
        return self.cpus_per_task is not None or self.threads_per_rank > 1

    @classmethod
    def default(cls) -> Self:
        """Return one core of one node for each task."""
        return cls(group_size=1)


class MachineBeside(Model):
    """An older file: resources, and the machine (or "batch") beside them."""

    aliases: ClassVar[Mapping[str, str]] = {"batch": "machine"}

    machine: Any = None  #: is not looked at
    command: Any = None  #: DP-GEN's, for tasks that it makes itself
    resources: Resources  #: of each job


#: what stands in a file with resources and a machine
_BESIDE: Final = frozenset({"resources", "machine", "batch", "command"})


def holds_both(data: object) -> bool:
    """Tell whether plain values are of an older file, with resources and a machine in it."""
    return isinstance(data, dict) and isinstance(data.get("resources"), dict)


def _without_comments(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if not str(key).startswith("_")}


def _product(data: Mapping[str, Any]) -> int | None:
    """Return the cores of a node that ranks and threads make; None where none is given."""
    given = [data.get(key) for key in ("ntasks_per_node", "cpus_per_task")]
    numbers = [number for number in given if type(number) is int and number > 0]
    return math.prod(numbers) if numbers else None


def _cores(data: Mapping[str, Any]) -> Iterator[Fault]:
    product, cores = _product(data), data.get("cpu_per_node")
    if product is None or type(cores) is not int or cores <= 0:
        return
    if data.get("ntasks_per_node") and data.get("cpus_per_task"):
        wrong, wanted = cores != product, f"expected {product}, or to leave it out"
    else:
        wrong, wanted = (
            cores % product != 0,
            f"expected a multiple of {product}, or to leave it out",
        )
    if wrong:
        yield (
            ("cpu_per_node",),
            f"{cores} cores cannot be shared out by ntasks_per_node and cpus_per_task; {wanted}",
        )
