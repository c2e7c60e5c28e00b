"""The profile of a cluster: a named target in a worker's settings, or an inline machine made anonymous.

[clusters.hpc1]
batch_type = "Slurm"
context_type = "Local"
remote_root = "/scratch/alice"
max_queued_jobs = 500
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any, Final

from pydantic import Field, StrictBool, StrictFloat, StrictStr

from jobferry_common.errors import BadInput, Problem
from jobferry_common.models import kinds
from jobferry_common.models.target import Target, missing_remote_root
from jobferry_common.models.values import Count, Positive
from jobferry_common.names import ClusterName

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jobferry_common.models.base import Fault
    from jobferry_common.models.machine import Machine

INLINE_PREFIX: Final = "inline-"


class ClusterProfile(Target):
    """What a worker must know to serve a cluster."""

    max_running_jobs: Positive | None = None  #: Shell: the CPUs if None; else no limit of ours
    max_queued_jobs: Positive | None = None  #: jobs at the scheduler at once
    max_array: Positive | None = None  #: elements of an array; None: the scheduler's own limit
    login_shell: StrictBool = True  #: False for Shell unless it is set
    requeue: StrictBool = False  #: True: the scheduler may start a job again by itself
    commands_per_second: StrictFloat = Field(default=5.0, gt=0)  #: of the account, all together
    retry_count: Count = 3  #: of submissions that name the cluster
    tags: tuple[StrictStr, ...] = ()

    @classmethod
    def label(cls) -> str:
        """Return the word for it in messages."""
        return "cluster"

    @classmethod
    def rewritten(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Return the input with the default of login_shell: a shell needs no site's modules."""
        batch = data.get("batch_type")
        if isinstance(batch, str) and batch.lower() == "shell":
            data.setdefault("login_shell", False)
        return data

    @classmethod
    def faults(cls, data: Mapping[str, Any]) -> Iterator[Fault]:
        """Find a missing remote_root."""
        if missing_remote_root(data):
            yield ("remote_root",), "is missing; this context needs the directory where jobs run"

    @property
    def root(self) -> str | None:
        """The directory that jobferry's files are under: remote_root, or local_root in place."""
        return self.local_root if self.in_place else self.remote_root

    def dump(self) -> dict[str, Any]:
        """Return plain values, without secrets."""
        return self.model_dump(mode="json")


def profile_of(machine: Machine, directory: str, where: str = "machine") -> ClusterProfile:
    """Return the profile of an inline machine; relative roots are relative to `directory`.

    Raises:
        BadInput: it holds a secret, or describes what cannot be submitted to yet.
    """
    problems = [Problem(f"{where}.{name}", what) for name, what in _hindrances(machine)]
    if problems:
        raise BadInput(problems)
    local = os.path.realpath(_absolute(directory, machine.local_root or "."))
    remote = machine.remote_root and _absolute(directory, machine.remote_root)
    return ClusterProfile(
        batch_type=machine.batch_type,
        context_type=machine.context_type,
        # the worker needs the producer's directory only to keep its own files there
        local_root=local if machine.in_place else None,
        remote_root=None if machine.in_place else remote,
        remote_profile=machine.remote_profile,
    )


def inline_name(profile: ClusterProfile) -> ClusterName:
    """Return the name of the anonymous cluster of a profile: the same for equal profiles."""
    text = json.dumps(profile.dump(), sort_keys=True, separators=(",", ":"))
    return ClusterName(INLINE_PREFIX + hashlib.sha256(text.encode()).hexdigest()[:10])


def _hindrances(machine: Machine) -> Iterator[tuple[str, str]]:
    yield from kinds.not_yet(machine.batch_type, machine.context_type)
    for name in machine.remote_profile.secrets():
        yield (
            f"remote_profile.{name}",
            "a secret cannot travel with a submission; describe the cluster in the settings of its "
            'worker and name it here ("cluster": "…"), or use a key and an ssh agent',
        )


def _absolute(directory: str, path: str) -> str:
    return os.path.normpath(os.path.join(directory, os.path.expanduser(path)))  # noqa: PTH111, PTH118
