"""The states of a job and of a run, and the only tables that say which may follow which.

run:  accepted → active → finished | failed | cancelled
job:  pending → submitting → queued → running → exited → finished | failed | cancelled
↑_____________________________________|   (retry: the next attempt)
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class JobState(StrEnum):
    """Where a job is in its life."""

    PENDING = "pending"  #: waits for room, for its files or for its time
    SUBMITTING = "submitting"  #: intent and token are written; the scheduler may have it
    QUEUED = "queued"  #: the scheduler gave it an id
    RUNNING = "running"  #: the scheduler or the job itself says that it runs
    EXITED = "exited"  #: this attempt is over and has an outcome
    FINISHED = "finished"  #: every task of it succeeded
    FAILED = "failed"  #: no attempt is left, or it can never be submitted
    CANCELLED = "cancelled"  #: ended on request, or made needless by the run's own policy

    @property
    def is_final(self) -> bool:
        """True when no other state can follow."""
        return not JOB_TRANSITIONS[self]

    @property
    def is_in_flight(self) -> bool:
        """True while a scheduler has the job or may have it."""
        return self in _IN_FLIGHT


class RunState(StrEnum):
    """Where a run is in its life."""

    ACCEPTED = "accepted"  #: in the ledger; nothing was submitted yet
    ACTIVE = "active"  #: at least one job was submitted
    FINISHED = "finished"  #: every job finished, or as many as its policy wants
    FAILED = "failed"  #: a job failed for good
    CANCELLED = "cancelled"  #: ended on request

    @property
    def is_final(self) -> bool:
        """True when no other state can follow."""
        return not RUN_TRANSITIONS[self]


class ResultsState(StrEnum):
    """Where the results of a run are."""

    REMOTE = "remote"  #: on the cluster, at least in part
    DEPOT = "depot"  #: all in the depot, not yet with the producer
    DELIVERED = "delivered"  #: all on the producer's side and verified
    CLEANED = "cleaned"  #: delivered or given up, and removed from the cluster


class Outcome(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"  #: its exit record says that every task succeeded
    FAILED = "failed"  #: a task failed; the code is with it
    TIMEOUT = "timeout"  #: the scheduler's time limit
    OUT_OF_MEMORY = "out_of_memory"  #: killed for its memory
    NODE_FAILURE = "node_failure"  #: a node broke
    PREEMPTED = "preempted"  #: made way for another job
    CANCELLED = "cancelled"  #: somebody cancelled it
    LOST = "lost"  #: gone without a record


_J, _R = JobState, RunState

JOB_TRANSITIONS: Final[Mapping[JobState, frozenset[JobState]]] = MappingProxyType(
    {
        _J.PENDING: frozenset({_J.SUBMITTING, _J.FINISHED, _J.FAILED, _J.CANCELLED}),
        _J.SUBMITTING: frozenset(
            {_J.PENDING, _J.QUEUED, _J.RUNNING, _J.EXITED, _J.FAILED, _J.CANCELLED}
        ),
        _J.QUEUED: frozenset({_J.RUNNING, _J.EXITED}),
        _J.RUNNING: frozenset({_J.QUEUED, _J.EXITED}),
        _J.EXITED: frozenset({_J.PENDING, _J.FINISHED, _J.FAILED, _J.CANCELLED}),
        _J.FINISHED: frozenset(),
        _J.FAILED: frozenset(),
        _J.CANCELLED: frozenset(),
    }
)

RUN_TRANSITIONS: Final[Mapping[RunState, frozenset[RunState]]] = MappingProxyType(
    {
        _R.ACCEPTED: frozenset({_R.ACTIVE, _R.FINISHED, _R.FAILED, _R.CANCELLED}),
        _R.ACTIVE: frozenset({_R.FINISHED, _R.FAILED, _R.CANCELLED}),
        _R.FINISHED: frozenset(),
        _R.FAILED: frozenset(),
        _R.CANCELLED: frozenset(),
    }
)

_IN_FLIGHT: Final = frozenset({_J.SUBMITTING, _J.QUEUED, _J.RUNNING, _J.EXITED})
