"""The names of things: submissions, runs, jobs, clusters, tokens.

submission  3f2a9c01d5e7           12 hex digits of the hash of its document
run         3f2a9c01d5e7-2         its second carrying-out
job         3f2a9c01d5e7-2/17      job 17 of that run, counted from 0
attempt     3f2a9c01d5e7-2/17.3    the third try at it, counted from 1
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final, NamedTuple, NewType

from jobferry_common.errors import BadInput, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

SubmissionId = NewType("SubmissionId", str)
RunId = NewType("RunId", str)
ClusterName = NewType("ClusterName", str)
#: what one submit command is known by, at the scheduler and in the ledger
Token = NewType("Token", str)
#: what the scheduler calls a job; an element of an array has one of its own
SchedulerId = NewType("SchedulerId", str)

_CLUSTER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z")


class JobKey(NamedTuple):
    """A job of a run."""

    run: RunId
    job: int

    def __str__(self) -> str:
        """Return `run/job`."""
        return f"{self.run}/{self.job}"


class AttemptKey(NamedTuple):
    """A try at a job."""

    job: int
    attempt: int

    def __str__(self) -> str:
        """Return `job.attempt`, the name of the attempt's files."""
        return f"{self.job}.{self.attempt}"


def run_id(submission: SubmissionId, number: int) -> RunId:
    """Return the name of the `number`-th run of a submission."""
    return RunId(f"{submission}-{number}")


def submission_of(run: RunId) -> SubmissionId:
    """Return the submission that a run carries out."""
    return SubmissionId(run.rpartition("-")[0])


def token_of(run: RunId, attempts: Iterable[AttemptKey]) -> Token:
    """Return the mark of the submit command for these attempts: the same for the same list."""
    text = ",".join(str(attempt) for attempt in attempts)
    return Token(f"jf.{run}.{hashlib.sha256(text.encode()).hexdigest()[:12]}")


def cluster_name(text: str, where: str = "cluster") -> ClusterName:
    """Check a cluster's name: it becomes part of a queue's name and of a key."""
    if _CLUSTER.match(text):
        return ClusterName(text)
    what = f"{text!r} is no name of a cluster: letters, digits, '_', '.', '-', at most 63 of them"
    raise BadInput([Problem(where, what)])
