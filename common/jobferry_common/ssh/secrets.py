"""The secrets of a login: one that cannot be had is a login that cannot be.

read(SecretStr("file:~/.secrets/hpc1"), "password")     what that file holds
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobferry_common import secrets
from jobferry_common.errors import BadInput, LoginRefused

if TYPE_CHECKING:
    from pydantic import SecretStr


def read(secret: SecretStr, field: str) -> str:
    """Return a secret.

    Raises:
        LoginRefused: it is not where its reference says, or others can read it there.
    """
    try:
        return secrets.read(secret.get_secret_value(), field, reader="the worker")
    except BadInput as error:
        raise LoginRefused(str(error)) from None
