"""Every error jobferry raises on purpose. A message says what, where, what was expected, and the next step.

JobferryError                      exit code 1
├── UserError                      exit code 2: what the user gave cannot be used
│   ├── BadInput                   one file or call, with all of its problems at once
│   ├── UnknownId                  no run, task or cluster of that name
│   ├── AmbiguousId                a prefix that fits several runs
│   └── Conflict                   another run owns the directory, or it belongs to somebody else
├── WorkFailed                     exit code 1: the jobs of a run failed or were cancelled
├── IllegalTransition              a state was asked to change in a way the table forbids
├── Unreachable                    exit code 3
│   ├── BrokerUnreachable          Redis or Valkey does not answer
│   ├── HostUnreachable            the machine of a cluster does not answer
│   │   ├── HostKeyRefused         it is not the machine that was expected, or nobody knows it yet
│   │   ├── LoginRefused           it answers, and does not let this user in
│   │   └── NoSession              it allows no more of them on a connection
│   └── NoWorker                   nobody serves the cluster
├── LeaseLost                      another worker holds the cluster, or the broker forgot us
├── NewerVersion                   exit code 2: a newer jobferry made it, and only a newer one may touch it
├── StagingError                   a file could not be brought or fetched, with its path
│   └── DepotError                 the depot cannot be read or written
│       ├── DepotFull              it has no room now
│       ├── NotInDepot             it lacks an object
│       └── DamagedObject          an object is not what its name says
└── SchedulerError
    ├── CommandFailed              a command exited non-zero
    │   └── CannotRun              there is no such command, or it may not be run
    ├── UnreadableOutput           a command answered, and we cannot read the answer
    ├── SubmitRefused              wrong for ever: the scheduler will never take this job
    ├── SubmitBusy                 not now: a limit was reached or the scheduler is busy
    └── SubmitUnknown              no answer: the job may or may not have been taken
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence


class JobferryError(Exception):
    """Base of every error of jobferry; the command line prints it without a traceback."""

    #: what a command that ends with this error exits with
    exit_code: ClassVar[int] = 1


class UserError(JobferryError):
    """What the user gave cannot be used."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in an input."""

    where: str  #: path in the input, such as "submission.json: resources.gruop_size"
    what: str  #: what is wrong with it, what was expected, a near match

    def __str__(self) -> str:
        """Return one line."""
        return f"{self.where}: {self.what}"


class BadInput(UserError):  # noqa: N818 - reads better than ...Error
    """A file or a call is wrong; `problems` holds every one of its faults."""

    def __init__(self, problems: Sequence[Problem], next_step: str = "") -> None:
        lines = [str(problem) for problem in problems]
        super().__init__("\n".join([*lines, next_step] if next_step else lines))
        self.problems = tuple(problems)
        self.next_step = next_step

    def within(self, where: str) -> BadInput:
        """Return it with the name of the input before each path; itself if that has no name."""
        if not where:
            return self
        named = [Problem(f"{where}: {problem.where}", problem.what) for problem in self.problems]
        return BadInput(named, self.next_step)


class UnknownId(UserError):  # noqa: N818
    """No run, task or cluster goes by that name."""


class AmbiguousId(UserError):  # noqa: N818
    """A prefix fits more than one run."""


class Conflict(UserError):  # noqa: N818
    """Another run owns the directory, or the submission belongs to somebody else."""


class WorkFailed(JobferryError, RuntimeError):  # noqa: N818
    """The work of a run failed or was cancelled. DPDispatcher raises a RuntimeError; so it is one."""


class IllegalTransition(JobferryError):  # noqa: N818
    """A state was asked to change in a way that the table forbids."""


class Unreachable(JobferryError):  # noqa: N818
    """Something that is needed does not answer."""

    exit_code = 3


class BrokerUnreachable(Unreachable):
    """Redis or Valkey does not answer."""


class HostUnreachable(Unreachable):
    """The machine of a cluster does not answer, or not in time."""


class HostKeyRefused(HostUnreachable):
    """The machine showed a host key that is changed, revoked or unknown; nothing was sent to it."""


class LoginRefused(HostUnreachable):
    """The machine does not let this user in, or what it asks for cannot be given."""


class NoSession(HostUnreachable):
    """The machine allows no more sessions on a connection."""


class NoWorker(Unreachable):
    """Nobody serves the cluster."""


class LeaseLost(JobferryError):  # noqa: N818
    """Another worker holds the cluster now, or the broker was restarted."""


class NewerVersion(JobferryError):  # noqa: N818
    """A newer jobferry made it: this one leaves it untouched."""

    exit_code = 2


class StagingError(JobferryError):
    """A file could not be brought to a cluster or fetched from it; the message names the path."""


class DepotError(StagingError):
    """The depot cannot be read or written, or holds something wrong."""

    exit_code = 3


class DepotFull(DepotError):  # noqa: N818
    """The depot has no room for what is to be put into it."""

    exit_code = 1


class NotInDepot(DepotError):  # noqa: N818
    """The depot lacks an object."""

    exit_code = 1


class DamagedObject(DepotError):  # noqa: N818
    """An object in the depot is not what its name says."""


class SchedulerError(JobferryError):
    """Something went wrong while talking to a batch scheduler."""


class CommandFailed(SchedulerError):  # noqa: N818
    """A command exited with a non-zero status."""

    def __init__(self, argv: Sequence[str], exit_code: int, stderr: str) -> None:
        super().__init__(f"{argv[0]} exited with {exit_code}: {stderr.strip()!r}")
        self.argv = tuple(argv)
        self.status = exit_code
        self.stderr = stderr


class CannotRun(CommandFailed):
    """There is no such command, or it may not be run: nothing was done."""

    #: exit codes of a shell, and of our own hosts
    CODES: ClassVar[frozenset[int]] = frozenset({126, 127})

    def __init__(self, argv: Sequence[str], exit_code: int, stderr: str) -> None:
        super().__init__(argv, exit_code, stderr)
        lines = [line.strip() for line in stderr.splitlines() if line.strip()]
        words = "; ".join(lines) or f"{argv[0]}: {exit_code}"
        self.args = (
            f"a command of the batch system cannot be run ({words}): install it, or correct "
            "PATH where the cluster's worker starts (over ssh: what login and execute_command bring); work goes on by "
            "itself then",
        )


def command_failed(argv: Sequence[str], exit_code: int, stderr: str) -> CommandFailed:
    """Return what a command that exited non-zero is to be told as."""
    kind = CannotRun if exit_code in CannotRun.CODES else CommandFailed
    return kind(argv, exit_code, stderr)


class UnreadableOutput(SchedulerError):  # noqa: N818
    """A command answered something that cannot be read."""


class SubmitRefused(SchedulerError):  # noqa: N818
    """The scheduler will never take this job: the message is in its own words."""


class SubmitBusy(SchedulerError):  # noqa: N818
    """The scheduler does not take the job now."""


class SubmitUnknown(SchedulerError):  # noqa: N818
    """No answer came: the job may have been taken."""
