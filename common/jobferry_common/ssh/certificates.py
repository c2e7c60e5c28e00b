"""Certificates of users: why a server may not take one, in words.

    found = certificate_in(Path("id-cert.pub").read_bytes())
    doubts(found, "alice", time.time())
    'expired on 2025-03-01 12:00 UTC; have the key signed anew'

A server only ever says that it wants a key. What can be seen from here is told as `ssh-keygen -L` shows it.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    SSHCertificate,
    SSHCertificateType,
    load_ssh_public_identity,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def certificate_in(data: bytes) -> SSHCertificate | None:
    """Return the certificate of a file's content; None if it holds none, or one of a kind that is not known here."""
    try:
        found = load_ssh_public_identity(data.strip())
    except (ValueError, UnsupportedAlgorithm):
        return None
    return found if isinstance(found, SSHCertificate) else None


def key_of(found: SSHCertificate) -> bytes:
    """Return the public key that a certificate is of, as it travels."""
    text = found.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return base64.b64decode(text.split()[1])


def doubts(found: SSHCertificate, user: str, now: float) -> str:
    """Return what speaks against a certificate, and the next step; "" if nothing is seen.

    Args:
        found: the certificate.
        user: who logs in.
        now: seconds since 1970.
    """
    return "; ".join(_doubts(found, user, now))


def _doubts(found: SSHCertificate, user: str, now: float) -> Iterator[str]:
    if found.type == SSHCertificateType.HOST:
        yield "is one of a host; a login needs one of a user (ssh-keygen -s without -h)"
    if now >= found.valid_before:
        yield f"expired on {_shown(found.valid_before)}; have the key signed anew"
    if now < found.valid_after:
        yield f"is not valid before {_shown(found.valid_after)}; is the clock right, here and there?"
    names = [name.decode(errors="replace") for name in found.valid_principals]
    if names and user not in names:
        yield (
            f"is for {', '.join(names)} and not for {user}; have the key signed for {user}, or set the username, "
            "unless the server maps the names"
        )


def _shown(seconds: int) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError, OSError):
        return f"second {seconds} since 1970"
