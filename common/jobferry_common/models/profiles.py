"""The `remote_profile` of each context: how a machine is reached.

    RemoteProfile of Local: {"symlink": true}; of SSH: {"hostname": "login.hpc1", "username": "alice"}

Secrets are never shown, dumped or sent.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pydantic import ConfigDict, Field, PositiveFloat, SecretStr, StrictBool, StrictInt

from jobferry_common.models.base import Model
from jobferry_common.models.values import Count, Text

if TYPE_CHECKING:
    from collections.abc import Mapping


class RemoteProfile(Model):
    """The empty profile, of contexts that need nothing."""

    @classmethod
    def label(cls) -> str:
        """Return the field's name."""
        return "remote_profile"

    def secrets(self) -> list[str]:
        """Return the names of the fields that hold a secret."""
        return [
            name for name in type(self).model_fields if isinstance(getattr(self, name), SecretStr)
        ]


class LocalProfile(RemoteProfile):
    """Of Local: files are linked, or copied."""

    symlink: StrictBool = True  #: False: forward files are copied


class SshProfile(RemoteProfile):
    """Of SSH."""

    hostname: Text = Field(description="the name or address of the login node")
    username: Text | None = None  #: None: as ~/.ssh/config has it
    password: SecretStr | None = Field(default=None, exclude=True)
    port: StrictInt = Field(default=22, ge=1, le=65535)
    key_filename: Text | None = None
    passphrase: SecretStr | None = Field(default=None, exclude=True)
    timeout: PositiveFloat = 10  #: seconds until a connection counts as failed
    totp_secret: SecretStr | None = Field(default=None, exclude=True)
    tar_compress: StrictBool = True
    look_for_keys: StrictBool = True
    execute_command: Text | None = None
    proxy_command: Text | None = None
    archive_chunk_size: Count = 0


class BohriumProfile(RemoteProfile):
    """Of Bohrium."""

    aliases: ClassVar[Mapping[str, str]] = {"project_id": "program_id"}

    email: Text | None = None
    phone: Text | None = None
    password: SecretStr | None = Field(default=None, exclude=True)
    program_id: StrictInt = Field(description="the number of the project")
    retry_count: Count | None = 2
    ignore_exit_code: StrictBool = True
    keep_backup: StrictBool | None = None
    input_data: dict[str, Any] = Field(description="the job's settings on the platform")


class OpenApiProfile(RemoteProfile):
    """Of OpenAPI; the platform knows more keys than are listed here."""

    model_config = ConfigDict(extra="allow")

    access_key: SecretStr | None = Field(default=None, exclude=True)
    app_key: SecretStr | None = Field(default=None, exclude=True)


PROFILES: Final[Mapping[str, type[RemoteProfile]]] = MappingProxyType(
    {
        "LazyLocal": RemoteProfile,
        "Local": LocalProfile,
        "SSH": SshProfile,
        "HDFS": RemoteProfile,
        "Bohrium": BohriumProfile,
        "OpenAPI": OpenApiProfile,
    }
)
