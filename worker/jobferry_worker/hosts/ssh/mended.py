"""Whether somebody changed what a login depends on: then it is worth an attempt, however long the pause still is.

    before = marks_of(login)
    ...
    marks_of(login) != before           a key, a secret, known_hosts or the configuration is another one

A key may be one of a file, named or one that is tried anyhow, or one that the agent holds.

A refused login is repeated seldom; who has mended its cause should not have to wait for that.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from jobferry_common.errors import LoginRefused
from jobferry_common.ssh import secrets
from jobferry_common.ssh.keys import CERTIFICATE, DEFAULT_KEYS, keys_held

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import SecretStr

    from jobferry_common.ssh.config import Credentials, Login


def marks_of(login: Login) -> tuple[object, ...]:
    """Return what changes with the files and secrets of a login; nothing of it is to be shown or kept."""
    hops = (*login.jumps, login)
    files = dict.fromkeys(file for one in hops for file in _files(one))
    agents = dict.fromkeys(one.credentials.agent for one in hops)
    held = [keys_held(agent) for agent in agents if agent]
    # what the configuration says is in the login itself, whichever file said it
    return (login, *map(_mark, files), *held, *_digests(login.credentials))


def _files(login: Login) -> Iterator[Path]:
    given, trust = login.credentials, login.trust
    keys = (*given.keys, *(DEFAULT_KEYS if given.default_keys else ()))
    certificates = (*given.certificates, *(f"{key}{CERTIFICATE}" for key in keys))
    hosts = (*trust.files, *trust.global_files, *trust.revoked)
    for path in filter(None, (*keys, *certificates, *hosts)):
        yield Path(path).expanduser()


def _mark(file: Path) -> tuple[int, int, int] | None:
    try:
        seen = file.stat()
    except OSError:
        return None
    return seen.st_mtime_ns, seen.st_size, seen.st_mode


def _digests(given: Credentials) -> Iterator[bytes]:
    for secret in (given.password, given.passphrase, given.totp_secret):
        if secret is not None:
            yield _digest(secret)


def _digest(secret: SecretStr) -> bytes:
    try:
        return hashlib.sha256(secrets.read(secret, "").encode()).digest()
    except LoginRefused:
        return b""
