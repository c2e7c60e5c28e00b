"""What a machine and the profile of a cluster have in common: batch type, context, roots, how it is reached."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from pydantic import Field, SerializeAsAny, StrictStr, ValidationInfo, field_validator

from jobferry_common.models import kinds
from jobferry_common.models.base import Model
from jobferry_common.models.profiles import PROFILES, BohriumProfile, LocalProfile, RemoteProfile
from jobferry_common.models.values import Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import BaseModel

    from jobferry_common.models.base import Fault

#: `hadoop fs` expands patterns in every path, also in one that is to be removed; a dash begins an option
_PATTERN: Final = re.compile(r"\A-|[\x00-\x1f*?\[\]{}\\]")
#: contexts whose jobs run below a directory that the user names
NEED_REMOTE_ROOT: Final = ("Local", "SSH", "HDFS")


class Target(Model):
    """Where jobs run. The order of the fields matters: the profile depends on the context."""

    batch_type: StrictStr = Field(description=f"one of {', '.join(kinds.BATCH_TYPES)}")
    context_type: StrictStr = Field(description=f"one of {', '.join(kinds.CONTEXTS)}")
    local_root: Text | None = None  #: the producer's directory; None: the working directory
    remote_root: Text | None = None  #: where runs get their directories; not for LazyLocal
    remote_profile: SerializeAsAny[RemoteProfile] = RemoteProfile()  #: what the context needs

    @field_validator("batch_type")
    @classmethod
    def _batch_type(cls, text: str) -> str:
        return kinds.batch_type(text)

    @field_validator("context_type")
    @classmethod
    def _context_type(cls, text: str) -> str:
        return kinds.context_type(text)

    @field_validator("remote_profile", mode="plain")
    @classmethod
    def _fitting(cls, value: Any, info: ValidationInfo) -> RemoteProfile:  # noqa: ANN401
        context = info.data.get("context_type")
        if context is None:  # wrong itself, and reported
            return RemoteProfile()
        if isinstance(value, RemoteProfile):
            value = {name: getattr(value, name) for name in value.model_fields_set}
        return PROFILES[context].model_validate(value)

    @property
    def in_place(self) -> bool:
        """True where tasks run in the producer's own directory."""
        return self.context_type == "LazyLocal"

    @property
    def is_bridged(self) -> bool:
        """True where jobs share no directory with the worker: a bridge carries files and results."""
        return self.context_type in kinds.BRIDGED

    @property
    def symlink(self) -> bool:
        """True where forward files are linked instead of copied."""
        return isinstance(self.remote_profile, LocalProfile) and self.remote_profile.symlink

    @classmethod
    def part(cls, name: str, data: Any) -> type[BaseModel] | None:  # noqa: ANN401
        """Return the profile's model: it depends on the context."""
        if name != "remote_profile" or not isinstance(data, dict):
            return None
        try:
            return PROFILES[kinds.context_type(data["context_type"])]
        except (KeyError, ValueError, AttributeError):
            return None


def faults_of_root(data: Mapping[str, Any]) -> Iterator[Fault]:
    """Find that an input lacks the remote_root that its context needs, or has one that stands for several."""
    try:
        context = kinds.context_type(data["context_type"])
    except (KeyError, ValueError, AttributeError):
        return
    root = data.get("remote_root")
    if context in NEED_REMOTE_ROOT and not root:
        yield ("remote_root",), "is missing; this context needs the directory where jobs run"
    elif context == "HDFS" and isinstance(root, str) and (found := _PATTERN.search(root)):
        what = f"{root!r} holds {found[0]!r}, which hadoop would not take as it stands; expected a plain path"
        yield ("remote_root",), what


def with_retries(data: dict[str, Any]) -> dict[str, Any]:
    """Return an input with the retry_count of Bohrium's profile, where there is none beside it."""
    profile = data.get("remote_profile")
    if "retry_count" in data or not isinstance(profile, dict | BohriumProfile):
        return data
    try:
        if kinds.context_type(data["context_type"]) != "Bohrium":
            return data
    except (KeyError, ValueError, AttributeError):
        return data
    default = BohriumProfile.model_fields["retry_count"].default
    given = (
        profile.get("retry_count", default) if isinstance(profile, dict) else profile.retry_count
    )
    return data if given is None else {**data, "retry_count": given}
