"""The interface of a scheduler: argument vectors out, parsed answers in, no I/O.

To add a scheduler: write one module here, add one line to `SCHEDULERS` in `__init__.py`, add one folder of
golden files under tests/common/schedulers/golden/.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from jobferry_common.errors import command_failed

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from jobferry_common.files import NewFile
    from jobferry_common.models.resources import Resources
    from jobferry_common.names import SchedulerId, Token
    from jobferry_common.states import Outcome

Argv = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """What a finished command left behind."""

    argv: Argv
    exit_code: int
    stdout: str = ""
    stderr: str = ""
    raw: bytes = field(default=b"", repr=False)  #: stdout as it came, where it may be no text

    def checked(self) -> str:
        """Return stdout, or raise `CommandFailed`."""
        if self.exit_code:
            raise command_failed(self.argv, self.exit_code, self.stderr)
        return self.stdout


@dataclass(frozen=True, slots=True, kw_only=True)
class Submit:
    """One submit command: a script for one job, or for an array of equal jobs."""

    script: str  #: absolute path of the script on the cluster
    directory: str  #: absolute path where the script starts; the scheduler's own log goes to `log`
    #: absolute path of the file for what the script itself prints; element i writes `<log>.<i>`
    log: str
    token: Token  #: the scheduler keeps it with the job
    name: str  #: of the job, as a user sees it in the queue
    size: int | None = None  #: None: one job; n: an array with the indices 0 … n-1
    #: the header's lines in the script: what they do not say of a requeue, the command has to
    header: Sequence[str] = ()
    requeue: bool = False  #: True: the scheduler may start the job again by itself


class Phase(StrEnum):
    """What a scheduler says of a job."""

    QUEUED = "queued"  #: it waits, is held or is being configured
    RUNNING = "running"  #: it runs, is stopped, suspended or completing
    ENDED = "ended"  #: it is over; `outcome` says how


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One job, or one element of an array, in a scheduler's answer."""

    id: SchedulerId
    phase: Phase
    token: Token | None = None
    #: only with ENDED; SUCCEEDED here means exit code 0 of the script
    outcome: Outcome | None = None
    code: int | None = None  #: exit code, or None where the scheduler does not tell
    #: in the scheduler's words: why it ended; of a queued job, what keeps it besides its turn, such as a hold
    reason: str = ""
    #: of one that ended: where it ran, in the scheduler's own form (`n[1-4]`); "" where it does not tell
    nodes: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One answer about many jobs: what is not in `jobs` is unknown to the scheduler."""

    jobs: Mapping[SchedulerId, Seen]
    #: words that no table knows: id → word; such a job is left out of `jobs`
    unreadable: Mapping[SchedulerId, str] = field(default_factory=dict)
    #: what bears each token: ids as `parse_submit` gives them, an array's own and not its elements'
    tokens: Mapping[Token, Sequence[SchedulerId]] = field(default_factory=dict)
    #: only after an inquiry: elements that their array has no more, although the scheduler has the array
    removed: Collection[SchedulerId] = frozenset()
    #: only after an inquiry: there were too many, and nothing was asked of these
    unasked: Collection[SchedulerId] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a scheduler says of itself; read when a worker starts, and proven in every look."""

    cluster: str  #: the scheduler's own name for its cluster
    version: str
    max_array: int  #: most elements of an array; 1 where there are none
    history: bool  #: True where a history command answers (accounting storage is on)


class End(NamedTuple):
    """How a job ended, where several words of a scheduler say it together."""

    outcome: Outcome
    code: int | None  #: as a shell would show it; None where there is none


class Scheduler(Protocol):
    """Pure translation between jobferry and one batch system."""

    @property
    def name(self) -> str:
        """Class name, as DPDispatcher's batch_type has it: "Slurm", "Shell"."""
        ...

    def files(self) -> Sequence[NewFile]:
        """Return what the scheduler needs on the cluster before any of its commands."""
        ...

    def header(self, resources: Resources, *, requeue: bool = False) -> Sequence[str]:
        """Return the header lines of the script (after the shebang): resources only, nothing of one job.

        Raises:
            BadInput: a value of `resources` cannot be expressed here.
        """
        ...

    def job_id_expression(self) -> str:
        """Return the bash expression for the scheduler id inside the job, elements included."""
        ...

    def index_expression(self) -> str:
        """Return the bash expression for the array index inside the job; empty outside of arrays."""
        ...

    def submit(self, submit: Submit) -> Argv:
        """Return the command that submits."""
        ...

    def parse_submit(self, done: Completed) -> SchedulerId:
        """Read the id; raises SubmitRefused, SubmitBusy, SubmitUnknown or CannotRun."""
        ...

    def element(self, array: SchedulerId, index: int) -> SchedulerId:
        """Return the id of one element of an array."""
        ...

    def split(self, key: SchedulerId) -> tuple[SchedulerId, int | None]:
        """Return the array and the index of an element, as `element` took them; of a job itself, and None."""
        ...

    def listing(self, user: str) -> Argv:
        """Return the one command that lists all live jobs of a user, and its own cluster's name."""
        ...

    def parse_listing(self, done: Completed, cluster: str) -> Listing:
        """Read the listing.

        Raises:
            CommandFailed, UnreadableOutput: it could not be asked; also when it is another cluster than `cluster`.
        """
        ...

    def history(self, ids: Collection[SchedulerId], since: datetime) -> Argv:
        """Return the one command that reports on jobs that left the listing."""
        ...

    def parse_history(self, done: Completed, cluster: str) -> Listing:
        """Read it; raises as `parse_listing` does."""
        ...

    def inquiry(self, ids: Collection[SchedulerId]) -> Argv | None:
        """Return the one command that asks about these very jobs in the queue, whatever the listing says.

        None where it could not tell more than the listing does.
        """
        ...

    def parse_inquiry(self, done: Completed, cluster: str, ids: Collection[SchedulerId]) -> Listing:
        """Read it; raises as `parse_listing` does. `ids` are those of `inquiry`."""
        ...

    def cancel(self, ids: Sequence[SchedulerId]) -> Argv:
        """Return the command that ends jobs, many at once."""
        ...

    def forget(self, ids: Sequence[SchedulerId]) -> Argv | None:
        """Return the command that says that nobody will ask for these jobs or elements again.

        They may still run, and leave the listing at their end then. None where it is not needed.
        """
        ...

    def facts(self) -> Argv:
        """Return the command that tells what the scheduler is."""
        ...

    def parse_facts(self, done: Completed) -> Facts:
        """Read it; raises as `parse_listing` does."""
        ...
