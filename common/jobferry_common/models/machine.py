"""Machine: DPDispatcher's description of a target, inline in a submission.

Machine(batch_type="Slurm", context_type="Local", local_root=".", remote_root="/scratch/alice")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import PrivateAttr, StrictBool

from jobferry_common.models.older import Older
from jobferry_common.models.resources import MachineBeside, Resources, holds_both
from jobferry_common.models.target import Target, faults_of_root, with_retries
from jobferry_common.models.values import Count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jobferry_common.models.base import Fault


class Machine(Target):
    """A target as a user describes it."""

    absent: ClassVar[Mapping[str, Any]] = {"local_root": None}
    older: ClassVar[Older] = Older(
        moved={name: ("remote_profile", name) for name in ("hostname", "username", "port")}
    )

    retry_count: Count = 3  #: a job that fails is tried this many times more
    clean_asynchronously: StrictBool = False  #: DPDispatcher's; files are always cleaned aside
    create_remote_root: StrictBool = False  #: SSH: make remote_root if it does not exist

    _resources: Resources | None = PrivateAttr(default=None)

    @property
    def resources(self) -> Resources | None:
        """The resources that stood in the same file (an older form)."""
        return self._resources

    @property
    def batch(self) -> Self:
        """The machine itself (an older name)."""
        return self

    def serialize(self, if_empty_remote_profile: bool = False) -> dict[str, Any]:
        """Return plain values, as JSON has them; secrets are left out, or the whole profile."""
        return super().serialize() | ({"remote_profile": {}} if if_empty_remote_profile else {})

    @classmethod
    def built(cls, data: Any, label: str) -> Self:  # noqa: ANN401
        """Return the machine of plain values: of its own, or of a file that holds resources too."""
        if not holds_both(data):
            return super().built(data, label)
        both = WithResources.built(data, label)
        machine = cls.model_validate(both.machine)
        machine._resources = both.resources  # noqa: SLF001 - our own class
        return machine

    @classmethod
    def rewritten(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Return the input with the tries that Bohrium's profile allows."""
        return with_retries(data)

    @classmethod
    def faults(cls, data: Mapping[str, Any]) -> Iterator[Fault]:
        """Find roots that are missing: local_root may be null, but not be left out of a file."""
        if "local_root" not in data:
            yield ("local_root",), "is missing; expected the directory of work_base, or null"
        yield from faults_of_root(data)


class WithResources(MachineBeside):
    """An older file: a machine (or "batch"), and the resources beside it."""

    machine: Machine  #: where it runs
