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

from pydantic import Field, SecretStr, StrictBool, StrictFloat, StrictStr

from jobferry_common.errors import BadInput, Problem
from jobferry_common.models import kinds
from jobferry_common.models.profiles import SshProfile
from jobferry_common.models.target import Target, faults_of_root, with_retries
from jobferry_common.models.values import Count, Positive
from jobferry_common.names import ClusterName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from jobferry_common.models.base import Fault
    from jobferry_common.models.machine import Machine
    from jobferry_common.models.profiles import RemoteProfile

    #: takes a name for a secret and the secret; returns its reference, None if it cannot be kept
    Keep = Callable[[str, str], str | None]

INLINE_PREFIX: Final = "inline-"
_DIGITS: Final = 10
_NO_SECRETS: Final = (
    "a secret cannot travel with a submission; say where its worker finds it (env:NAME, file:PATH or "
    "keyring:SERVICE/USER), or describe the cluster in the settings of its worker and name it here "
    '("cluster": "…"), or use a key and an ssh agent'
)
#: where commands of a submission lie, everybody reads them who may read the broker
_NO_SPELLED: Final = (
    "holds a secret ({}), and a secret cannot travel with a submission; have the command look where only the worker's "
    "user can: a variable of its environment ($NAME, sshpass -e), a private file (sshpass -f FILE), the ProxyCommand "
    "of ~/.ssh/config there; or describe the cluster in the settings of its worker and name it here "
    '("cluster": "…")'
)


class ClusterProfile(Target):
    """What a worker must know to serve a cluster."""

    max_running_jobs: Positive | None = None  #: Shell: the CPUs if None; else no limit of ours
    max_queued_jobs: Positive | None = None  #: jobs at the scheduler at once
    #: jobs that wait here of work that clusters share; None: as many as run, at least 16
    claim_ahead: Positive | None = None
    max_array: Positive | None = None  #: elements of an array; None: the scheduler's own limit
    login_shell: StrictBool = True  #: False for Shell unless it is set
    requeue: StrictBool = False  #: True: the scheduler may start a job again by itself
    commands_per_second: StrictFloat = Field(default=5.0, gt=0)  #: of the account, all together
    retry_count: Count = 3  #: of submissions that name the cluster
    tags: tuple[StrictStr, ...] = ()  #: what a submission may require

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
        return with_retries(data)

    @classmethod
    def faults(cls, data: Mapping[str, Any]) -> Iterator[Fault]:
        """Find a missing remote_root, and a context that does not reach the batch system."""
        yield from faults_of_root(data)
        if words := _misfit(data):
            yield ("context_type",), words

    @property
    def root(self) -> str | None:
        """The directory that jobferry's files are under: remote_root, local_root in place, or a bridge's own."""
        if self.is_bridged:
            return self._bridge_root
        return self.local_root if self.in_place else self.remote_root

    @property
    def _bridge_root(self) -> str:
        given: str | None = getattr(self.remote_profile, "bridge_root", None)
        public = self.remote_profile.public().model_dump(mode="json")
        where = (self.batch_type, self.context_type, self.remote_root, public)
        return given or f"~/.jobferry/bridges/{_digest(where)}"

    def dump(self) -> dict[str, Any]:
        """Return plain values, without secrets; what says where one is belongs to them."""
        return self.model_dump(mode="json")

    def public(self) -> ClusterProfile:
        """Return the profile without secrets and without what says where they are."""
        return self.model_copy(update={"remote_profile": self.remote_profile.public()})


def profile_of(
    machine: Machine, directory: str, where: str = "machine", *, keep: Keep | None = None
) -> ClusterProfile:
    """Return the profile of an inline machine; relative roots are relative to `directory`.

    Args:
        machine: as the user describes it.
        directory: of the producer.
        where: what messages call the machine.
        keep: puts a secret where only the worker finds it; None: there is no such place.

    Raises:
        BadInput: it holds a secret that cannot be kept, or its context does not reach its batch system.
    """
    words = kinds.misfit(machine.batch_type, machine.context_type)
    hindrances = [("context_type", words)] if words else []
    remote_profile, unkept = _kept(_local_paths(machine, directory), keep)
    hindrances += [(f"remote_profile.{name}", _NO_SECRETS) for name in unkept]
    found = machine.remote_profile.spelled()
    hindrances += [
        (f"remote_profile.{name}", _NO_SPELLED.format(what)) for name, what in found.items()
    ]
    if hindrances:
        raise BadInput([Problem(f"{where}.{name}", what) for name, what in hindrances])
    local = os.path.realpath(_absolute(directory, machine.local_root or "."))
    remote = machine.remote_root
    if remote and machine.context_type == "Local":  # else it lies on another machine
        remote = _absolute(directory, remote)
    return ClusterProfile(
        batch_type=machine.batch_type,
        context_type=machine.context_type,
        # the worker needs the producer's directory only to keep its own files there
        local_root=local if machine.in_place else None,
        remote_root=None if machine.in_place else remote,
        remote_profile=remote_profile,
    )


def _misfit(data: Mapping[str, Any]) -> str:
    try:
        batch, context = data["batch_type"], data["context_type"]
        return kinds.misfit(kinds.batch_type(batch), kinds.context_type(context))
    except (KeyError, ValueError, AttributeError):  # told elsewhere
        return ""


def inline_name(profile: ClusterProfile) -> ClusterName:
    """Return the name of the anonymous cluster of a profile: the same for equal profiles."""
    return ClusterName(INLINE_PREFIX + _digest(profile.dump()))


def _local_paths(machine: Machine, directory: str) -> RemoteProfile:
    """Return the remote profile with the producer's relative paths made absolute."""
    given = machine.remote_profile
    if not isinstance(given, SshProfile) or not given.key_filename:
        return given
    if given.key_filename.startswith("~"):
        return given
    return given.model_copy(update={"key_filename": _absolute(directory, given.key_filename)})


def _kept(profile: RemoteProfile, keep: Keep | None) -> tuple[RemoteProfile, list[str]]:
    """Return a profile with references for its secrets, and the names of those that could not be kept.

    The place of a secret follows from where it is for: another password for the same account takes its place.
    """
    account = _digest(profile.public().model_dump(mode="json"))
    references: dict[str, SecretStr] = {}
    unkept = []
    for name in profile.secrets():
        secret: SecretStr = getattr(profile, name)
        found = keep(f"{account}-{name}", secret.get_secret_value()) if keep else None
        if found is None:
            unkept.append(name)
        else:
            references[name] = SecretStr(found)
    return profile.model_copy(update=references), unkept


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def _absolute(directory: str, path: str) -> str:
    return os.path.normpath(os.path.join(directory, os.path.expanduser(path)))  # noqa: PTH111, PTH118
