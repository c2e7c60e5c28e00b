"""The secrets of a login: one that cannot be had is a login that cannot be.

read(SecretStr("file:~/.secrets/hpc1"), "password")     what that file holds
hidden("Wrong password: hunter2", login)                "Wrong password: ***": a server may repeat what it was given
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from jobferry_common import secrets
from jobferry_common.errors import BadInput, LoginRefused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import SecretStr

    from jobferry_common.ssh.config import Login


def read(secret: SecretStr, field: str) -> str:
    """Return a secret.

    Raises:
        LoginRefused: it is not where its reference says, or others can read it there.
    """
    try:
        return secrets.read(secret.get_secret_value(), field, reader="the worker")
    except BadInput as error:
        raise LoginRefused(str(error)) from None


def hidden(text: str, login: Login) -> str:
    """Return a text in which no secret of a login, or of a host on its way, can be read."""
    found = {form for one in (*login.jumps, login) for form in _forms(one)}
    for form in sorted(found, key=len, reverse=True):
        text = text.replace(form, "***")
    return text


def _forms(login: Login) -> Iterator[str]:
    """Return the secrets as they are, and as a message may quote them."""
    given = login.credentials
    for secret in (given.password, given.passphrase, given.totp_secret):
        if secret is None:
            continue
        with suppress(LoginRefused):
            found = read(secret, "")
            yield from filter(None, (found, found.strip(), repr(found)[1:-1]))
