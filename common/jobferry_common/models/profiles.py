"""The `remote_profile` of each context: how a machine is reached.

    RemoteProfile of Local: {"symlink": true}; of SSH: {"hostname": "login.hpc1", "username": "alice"}

Secrets are never shown, dumped or sent. What says where one is ("env:NAME", "file:PATH", "keyring:SERVICE/USER") is no
secret itself.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    PlainSerializer,
    PositiveFloat,
    SecretStr,
    StrictBool,
    StrictInt,
)

from jobferry_common import secrets
from jobferry_common.models import cloud_input
from jobferry_common.models.base import Model
from jobferry_common.models.older import Older
from jobferry_common.models.values import Count, Positive, Text
from jobferry_common.spelled import spelled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jobferry_common.models.base import Fault


def _well_formed(secret: SecretStr) -> SecretStr:
    secrets.check(secret.get_secret_value())
    return secret


def _dumped(secret: SecretStr | None) -> str | None:
    text = secret.get_secret_value() if secret else ""
    return text if secrets.is_reference(text) else None


#: a secret, or a reference to one; only a reference is ever dumped
Secret = Annotated[
    SecretStr,
    AfterValidator(_well_formed),
    PlainSerializer(_dumped, return_type=str | None),
]


class RemoteProfile(Model):
    """The empty profile, of contexts that need nothing."""

    @classmethod
    def label(cls) -> str:
        """Return the field's name."""
        return "remote_profile"

    def secrets(self) -> list[str]:
        """Return the names of the fields that hold a secret itself, not only where it is."""
        return [name for name in type(self).model_fields if _is_literal(getattr(self, name))]

    def spelled(self) -> dict[str, str]:
        """Return the commands in which a secret is spelled out, each with what holds it there."""
        return {}

    def public(self) -> Self:
        """Return the profile without secrets and without what says where they are."""
        fields = type(self).model_fields
        found = [name for name in fields if isinstance(getattr(self, name), SecretStr)]
        return self.model_copy(update=dict.fromkeys(found))


class LocalProfile(RemoteProfile):
    """Of Local: files are linked, or copied."""

    symlink: StrictBool = True  #: False: forward files are copied


class SshProfile(RemoteProfile):
    """Of SSH. What is left out is as ~/.ssh/config has it, else as OpenSSH would have it."""

    older: ClassVar[Older] = Older(
        quoted=frozenset({"port"}),
        refused=dict.fromkeys(
            ("jump_hostname", "jump_username", "jump_port", "jump_key_filename"),
            "no release of DPDispatcher knows it; expected proxy_command, or ProxyJump in ~/.ssh/config",
        ),
    )

    hostname: Text = Field(description="the name or address of the login node, or its alias")
    username: Text | None = None  #: of the login
    #: better a reference, such as "keyring:hpc/alice" or "env:NAME"; a key with an agent needs none
    password: Secret | None = None
    port: StrictInt | None = Field(default=None, ge=1, le=65535)  #: of sshd there; null: 22
    key_filename: Text | None = None  #: a private key; "~" is the home of whom the worker runs as
    passphrase: Secret | None = None  #: of the private key, or a reference to it
    timeout: PositiveFloat | None = None  #: seconds until an attempt to connect counts as failed
    totp_secret: Secret | None = None  #: in base32, as the site shows it beside its QR code
    tar_compress: StrictBool = True  #: whether what travels is compressed
    look_for_keys: StrictBool = True  #: whether the keys in ~/.ssh and of the agent are tried
    #: run first in each shell there, such as "module load slurm"
    execute_command: Text | None = None
    #: a command of this machine whose input and output lead to sshd there
    proxy_command: Text | None = None
    archive_chunk_size: Count = 0  #: is not needed: files travel in one stream
    #: of a host that known_hosts does not know; a changed key is never accepted
    host_key_policy: Literal["strict", "accept-new"] | None = None
    #: how runs get common files from the account's cache; links cost nothing, a copy is a run's own
    common_files: Literal["link", "copy"] | None = None

    def spelled(self) -> dict[str, str]:
        """Return the commands in which a secret is spelled out, each with what holds it there."""
        commands = {"proxy_command": self.proxy_command, "execute_command": self.execute_command}
        found = {name: spelled(command or "") for name, command in commands.items()}
        return {name: what for name, what in found.items() if what}


class BridgeProfile(RemoteProfile):
    """Of every context whose jobs share no directory with the worker."""

    #: directory on the worker's machine for the files of runs, on their way; None: one below ~/.jobferry/bridges
    bridge_root: Text | None = None


class HdfsProfile(BridgeProfile):
    """Of HDFS; remote_root is a directory there."""

    #: how HDFS is spoken to; None: through pyarrow where it is installed with libhdfs, else with the command
    client: Literal["hadoop", "pyarrow"] | None = None


class CloudProfile(BridgeProfile):
    """What the clouds have in common."""

    ignore_exit_code: StrictBool = True  #: DPDispatcher's; a job's own record tells how it ended
    #: DPDispatcher's; no archive is kept beside the results once these are safe
    keep_backup: StrictBool | None = None

    @property
    def job(self) -> Mapping[str, Any]:
        """The settings of each job, under the platform's own names."""
        return {}

    @property
    def in_groups(self) -> bool:
        """True where the jobs of a run are shown as one group."""
        return False


class BohriumProfile(CloudProfile):
    """Of Bohrium."""

    aliases: ClassVar[Mapping[str, str]] = {"project_id": "program_id"}
    older: ClassVar[Older] = Older(
        refused={"username": "DPDispatcher takes it no more either; expected email, or phone"}
    )

    #: of the account; BOHR_TICKET in the worker's environment comes first
    email: Text | None = None
    phone: Text | None = None  #: of the account, where there is no email
    password: Secret | None = None  #: of the account
    program_id: StrictInt = Field(description="the number of the project")
    retry_count: Count | None = 2  #: where the machine itself says none
    input_data: dict[str, Any] = Field(description="the job's settings on the platform")

    @classmethod
    def faults(cls, data: Mapping[str, Any]) -> Iterator[Fault]:
        """Find settings that jobferry says itself, or cannot keep its promises with."""
        given = data.get("input_data")
        if isinstance(given, dict):
            yield from ((("input_data", key), what) for key, what in cloud_input.faults_of(given))

    @property
    def job(self) -> Mapping[str, Any]:
        """The settings of each job, under the platform's own names."""
        return cloud_input.of_platform(self.input_data)

    @property
    def in_groups(self) -> bool:
        """True where the jobs of a run are shown as one group."""
        return self.input_data.get("grouped", False) is True


class OpenApiProfile(CloudProfile):
    """Of OpenAPI. Key, project and app key may stand in the worker's environment instead (BOHRIUM_ACCESS_KEY, …)."""

    older: ClassVar[Older] = Older(spent=frozenset({"command"}))

    access_key: Secret | None = None  #: of the account
    project_id: StrictInt | None = None  #: the number of the project
    app_key: Secret | None = None  #: of an application that acts for the account
    job_name: Text | None = None  #: stands before the name of the run
    machine_type: Text = ""  #: a size of machine, such as "c8_m32_cpu"
    image_address: Text = ""  #: the container's image, with its registry
    platform: Text = "ali"  #: whose machines they are
    output_log: StrictBool = False  #: DPDispatcher's; `jobferry logs` shows them
    grouped: StrictBool = True  #: the jobs of a run are shown as one group
    real_user_id: StrictInt | Text | None = None  #: handed over as it is
    session_id: StrictInt | Text | None = None  #: handed over as it is
    disk_size: Positive | None = None  #: GB

    @property
    def job(self) -> Mapping[str, Any]:
        """The settings of each job, under the platform's own names."""
        names = ("job_name", "machine_type", "image_address", "platform", "disk_size")
        users = ("real_user_id", "session_id")
        said = {name: getattr(self, name) for name in (*names, *users)}
        return cloud_input.of_platform({key: value for key, value in said.items() if value})

    @property
    def in_groups(self) -> bool:
        """True where the jobs of a run are shown as one group."""
        return self.grouped


def _is_literal(value: object) -> bool:
    return isinstance(value, SecretStr) and not secrets.is_reference(value.get_secret_value())


PROFILES: Final[Mapping[str, type[RemoteProfile]]] = MappingProxyType(
    {
        "LazyLocal": RemoteProfile,
        "Local": LocalProfile,
        "SSH": SshProfile,
        "HDFS": HdfsProfile,
        "Bohrium": BohriumProfile,
        "OpenAPI": OpenApiProfile,
    }
)
