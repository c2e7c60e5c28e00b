"""The document of a submission: what a producer hands over, a header and pages of tasks.

Tasks stand in job order: job `j` holds the tasks `j * group_size … (j + 1) * group_size - 1` of this order. A
document is canonical: equal work gives equal bytes, so that it has one hash and can be signed.

    >>> canonical({"b": [1, 2], "a": None})
    b'{"a":null,"b":[1,2]}'
    >>> in_job_order("abcdef", group_size=2)
    ['d', 'b', 'c', 'e', 'a', 'f']
"""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from jobferry_common.names import SubmissionId
from jobferry_common.versions import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jobferry_common.models.failures import OnFailure
    from jobferry_common.models.resources import Resources
    from jobferry_common.names import ClusterName

_Item = TypeVar("_Item")

#: of the shuffle; DPDispatcher has the same
_SEED: Final = 42
_ID_DIGITS: Final = 12
_KEY_DIGITS: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """One task, its globs resolved."""

    position: int  #: in the user's own list, counted from 0
    command: str
    path: str  #: task_work_path, relative to the work base, without `..`
    forward: tuple[str, ...] = ()  #: files and directories, relative to `path`
    backward: tuple[str, ...] = ()  #: patterns, relative to `path`
    outlog: str | None = "log"
    errlog: str | None = "err"
    name: str | None = None
    key: str = (
        ""  #: digest of the command and of the contents it reads: an equal key means equal work
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What becomes of a run when jobs fail, and of its files when it ends."""

    continue_on_failure: bool = False
    retry_count: int = 3  #: a job is tried this many times more
    ratio_unfinished: float = 0.0  #: at most this share may be left undone
    clean: str = "always"  #: "always", "never" or "on_success"
    on_failure: OnFailure | None = None  #: rules by how a job failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """All of a submission but its tasks. No secret is ever in it."""

    submission: SubmissionId
    owner: str  #: "user@host" of the producer
    cluster: ClusterName  #: the target, the first of several; "inline-<hash>" for an inline machine
    #: the clusters that share the work, each as it has room; () where it all belongs to `cluster`
    targets: tuple[ClusterName, ...] = ()
    anywhere: bool = False  #: the user said "any": clusters that are announced later may join
    placement: str | Mapping[str, float] = "fair"  #: "order" of the targets, or the weight of each
    requires: tuple[str, ...] = ()  #: tags that a target must have
    priority: int = 0  #: among the submissions of its owner, those with more go first
    machine: Mapping[str, Any] | None = (
        None  #: the inline machine's profile (a `ClusterProfile`, dumped)
    )
    name: str = ""
    source: str  #: absolute real path of local_root/work_base at the producer: files come from and go to here
    work_base: str = ""  #: as the user wrote it
    in_place: bool = False  #: LazyLocal: tasks run in `source` itself
    resources: Resources
    forward_common: tuple[str, ...] = ()  #: relative to `source`, globs resolved
    backward_common: tuple[str, ...] = ()  #: patterns, relative to `source`
    #: text of customized_script_header_template_file, read at the producer
    header_template: str | None = None
    policy: Policy = field(default_factory=Policy)
    #: how its files travel where the worker does not see `source`: a `depot.ticket.Ticket`, dumped
    depot: Mapping[str, str] | None = None
    tasks: int
    schema: int = VERSION

    @property
    def is_shared(self) -> bool:
        """True when clusters claim its jobs, as each has room."""
        return bool(self.targets)

    @property
    def clusters(self) -> tuple[ClusterName, ...]:
        """Every cluster that its jobs may go to."""
        return self.targets or (self.cluster,)

    @property
    def group_size(self) -> int:
        """Tasks of a job; the last job may hold fewer."""
        return group_size(self.resources, self.tasks)

    @property
    def jobs(self) -> int:
        """Number of jobs."""
        return -(-self.tasks // self.group_size)

    def tasks_of(self, job: int) -> range:
        """Return the indices (in job order) of a job's tasks."""
        start = job * self.group_size
        return range(start, min(start + self.group_size, self.tasks))


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A header with its tasks in job order."""

    header: Header
    tasks: Sequence[TaskSpec]


def group_size(resources: Resources, tasks: int) -> int:
    """Return how many tasks a job holds; an element of SlurmJobArray holds slurm_job_size of them."""
    whole = resources.group_size or max(tasks, 1)
    if resources.batch_type == "SlurmJobArray":
        return min(resources.kwargs.slurm_job_size or 1, whole)
    return whole


def in_job_order(items: Iterable[_Item], *, group_size: int) -> list[_Item]:
    """Return tasks in the order in which jobs take them.

    Long and short tasks often stand together in a list, so they are shuffled before they are grouped: always in
    the same way. Where a job holds one task, or all of them, there is nothing to balance.
    """
    ordered = list(items)
    if 1 < group_size < len(ordered):
        random.Random(_SEED).shuffle(ordered)  # noqa: S311 - no secret; leaves the caller's state alone
    return ordered


def canonical(value: object) -> bytes:
    """Return the one JSON text of a value: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def submission_id(static: Mapping[str, Any]) -> SubmissionId:
    """Return the id of a submission: a hash of what its user wrote, not of what the files hold."""
    return SubmissionId(hashlib.sha256(canonical(static)).hexdigest()[:_ID_DIGITS])


def task_key(common: str, *parts: object) -> str:
    """Return the key of a task: of the digest of all common files, its command, paths and files."""
    text = json.dumps((common, *parts), separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_KEY_DIGITS]
