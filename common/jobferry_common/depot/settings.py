"""The table `[depot]` of the settings.

[depot]
url = "sftp://alice@storage.example.org/scratch/depot"

[depot.options]                                # of the file system of fsspec
key_filename = "~/.ssh/depot"
passphrase = "env:DEPOT_PASSPHRASE"            # a secret is only ever a reference
"""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from jobferry_common import secrets

#: options of file systems whose names hold one of these are secrets
_SECRETS: Final = (
    "password",
    "passphrase",
    "secret",
    "token",
    "credential",
    "access_key",
    "account_key",
)
#: the depot is the broker itself
BROKER: Final = "redis:"
#: the scheme of a shared folder
FOLDER: Final = "file"


class DepotSettings(BaseModel):
    """Through what files travel where producer and worker share no file system."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str | None = None  #: None: they share one
    options: dict[str, str | int | float | bool] = Field(default_factory=dict, repr=False)
    limit_mib: int = Field(default=1024, ge=1)  #: what the broker may hold as a depot
    #: of a worker: copies of the producers' directories; None: below the cluster's root, or the XDG cache
    directory: Path | None = None
    cache_days: float = Field(default=7.0, ge=0)  #: for so long a worker keeps what nobody uses

    @field_validator("url")
    @classmethod
    def _known(cls, url: str | None) -> str | None:
        if not url or url == BROKER:
            return url or None
        if url.startswith("/"):
            return Path(url).as_uri()
        parts = urlsplit(url)
        if parts.password is not None:
            msg = (
                f"{_without_login(url)!r} holds a password; expected the user alone, and "
                'depot.options.password = "env:NAME", "file:PATH" or "keyring:SERVICE/USER"'
            )
            raise ValueError(msg)
        if not parts.scheme or "://" not in url:
            msg = f"{url!r} is no address of a depot; expected 'redis:', a folder or an address as in 'sftp://host/path'"
            raise ValueError(msg)
        if parts.scheme == FOLDER and (parts.netloc or not parts.path.startswith("/")):
            msg = f"{url!r} is no folder; expected file:///path/of/the/folder"
            raise ValueError(msg)
        return url

    @field_validator("options")
    @classmethod
    def _no_secrets(
        cls, options: dict[str, str | int | float | bool]
    ) -> dict[str, str | int | float | bool]:
        for name, value in options.items():
            if not isinstance(value, str) or not secrets.is_reference(value):
                if _is_secret(name):
                    msg = f"{name} is a secret; expected {secrets.EXPECTED}, which say where it is"
                    raise ValueError(msg)
                continue
            try:
                secrets.check(value)
            except ValueError as error:
                msg = f"{name} {error}"
                raise ValueError(msg) from None
        return options

    @property
    def shown(self) -> str:
        """The address for messages."""
        return self.url or ""


def _without_login(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"***@{parts.hostname or ''}").geturl()


def _is_secret(option: str) -> bool:
    """Tell by its name whether the value of an option has to be kept secret."""
    return any(word in option.lower() for word in _SECRETS)
