"""Whether somebody changed what a login depends on: then it is worth an attempt, however long the pause still is.

    before = marks_of(login)
    ...
    marks_of(login) != before           a key, a secret, known_hosts or the configuration is another one

A refused login is repeated seldom; who has mended its cause should not have to wait for that.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from jobferry_common.errors import LoginRefused
from jobferry_worker.hosts.ssh import secrets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import SecretStr

    from jobferry_worker.hosts.ssh.config import Credentials, Login


def marks_of(login: Login) -> tuple[object, ...]:
    """Return what changes with the files and secrets of a login; nothing of it is to be shown or kept."""
    files = [Path("~/.ssh/config").expanduser()]
    for one in (*login.jumps, login):
        files += map(Path, (*one.credentials.keys, *one.trust.files, *one.trust.global_files))
        files += [Path(one.trust.revoked)] if one.trust.revoked else []
    marks = [_mark(file) for file in dict.fromkeys(files)]
    return (*marks, *_digests(login.credentials))


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
