"""Whether a host is the one that is meant: its key against known_hosts, strictly.

    keys = HostKeys(login.trust, login.by_hand)
    transport.get_security_options().key_types = keys.preferred(offered)
    keys.check(transport.get_remote_server_key())       HostKeyRefused, or silence

Nothing is sent to a host before its key was checked. A changed key is never accepted, whatever the policy.
"""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import logging
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import HostKeyRefused
from jobferry_common.ssh.known_hosts import append, lines_of, names_of
from jobferry_common.ssh.revoked import is_revoked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paramiko import PKey

    from jobferry_common.ssh.config import Trust
    from jobferry_common.ssh.known_hosts import Line

logger: Final = logging.getLogger(__name__)

_REVOKED: Final = "@revoked"
_AUTHORITY: Final = "@cert-authority"
#: a key of this type signs in several ways
_RSA: Final = ("ssh-rsa", ("rsa-sha2-512", "rsa-sha2-256"))


class HostKeys:
    """What is known of one host, read when the connection is made."""

    def __init__(self, trust: Trust, by_hand: str) -> None:
        self._trust = trust
        self._by_hand = by_hand
        self._names = names_of(trust.name, trust.port)
        files = (*trust.files, *trust.global_files)
        #: lines with the port, else without it: that a host is right on another port proves nothing against it
        self._lines = lines_of(files, self._names[0])
        is_known = any(not line.mark for line in self._lines)
        # where a key stands with the port, others count for nothing, as with OpenSSH; what is revoked is so anywhere
        self._portless = [
            line
            for name in self._names[1:]
            for line in lines_of(files, name)
            if line.mark or not is_known
        ]

    def preferred(self, offered: Sequence[str]) -> list[str]:
        """Return the algorithms with those first by which the host is known: else it would look changed.

        Raises:
            HostKeyRefused: HostKeyAlgorithms leaves none.
        """
        allowed = [name for name in offered if _is_allowed(name, self._trust.algorithms)]
        if not allowed:
            msg = (
                f"HostKeyAlgorithms {self._trust.algorithms} of ~/.ssh/config leaves no key by which {self._names[0]} "
                f"could be known here; expected one of {', '.join(offered)}"
            )
            raise HostKeyRefused(msg)
        known = {line.type for line in (*self._lines, *self._portless) if not line.mark}
        algorithms = {name for key in known for name in _algorithms(key)}
        return sorted(allowed, key=lambda name: name not in algorithms)

    def check(self, key: PKey) -> None:
        """Accept a host's key, perhaps for good.

        Raises:
            HostKeyRefused: it is revoked, changed, or unknown and not to be accepted unseen.
        """
        shown = key.asbytes()
        everywhere = (*self._lines, *self._portless)
        revoked = [line for line in everywhere if line.mark == _REVOKED and line.key == shown]
        if revoked:
            self._refuse(key, f"is revoked by {revoked[0].place}", "ask the site's administrators")
        for file in self._trust.revoked:
            if is_revoked(file, key):
                self._refuse(key, f"is revoked by {file}", "ask the site's administrators")
        if any(not line.mark and line.key == shown for line in everywhere):
            return
        if other := [line for line in self._lines if not line.mark]:
            self._refuse_other(key, other)
        if not self._trust.accept_new:
            self._refuse_unknown(key)
        append(self._trust, key.get_name(), key.get_base64())
        logger.warning(
            "The host key of %s was new and is known from now on: %s.",
            self._names[0],
            shown_key(key),
            extra={"action": "host-key-added"},
        )

    def _refuse_other(self, key: PKey, known: Sequence[Line]) -> None:
        same = [line for line in known if line.type == key.get_name()]
        line = (same or known)[0]
        kind = "has changed" if same else "is of another kind than those that are known"
        self._refuse(
            key,
            f"{kind}: {line.place} has {line.type} {fingerprint(line.key)}",
            "somebody may be in between. If the site says that its key is new: "
            f"ssh-keygen -R '{self._names[0]}' -f {line.file}, then log in once by hand and compare",
        )

    def _refuse_unknown(self, key: PKey) -> None:
        authority = [line for line in self._lines if line.mark == _AUTHORITY]
        note = ""
        if authority:
            note = (
                f" ({authority[0].place} names an authority for it, but certificates of hosts cannot be "
                "checked here: its plain key is needed)"
            )
        port = f" -p {self._trust.port}" if len(self._names) > 1 else ""
        place = (*self._trust.files, *self._trust.global_files)[:1]
        scan = f"ssh-keyscan{port} {self._trust.name}"
        self._refuse(
            key,
            f"is unknown in {', '.join(place) or 'known_hosts, as there is none'}{note}",
            f"log in once by hand as the worker's user ({self._by_hand}) and compare, or add what "
            f"{scan} prints; or set {self._trust.setting}",
        )

    def _refuse(self, key: PKey, what: str, next_step: str) -> None:
        msg = f"the host key of {self._names[0]}, {shown_key(key)}, {what}; {next_step}"
        raise HostKeyRefused(msg)


def fingerprint(key: bytes) -> str:
    """Return what `ssh-keygen -l` shows."""
    digest = base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")
    return f"SHA256:{digest}"


def shown_key(key: PKey) -> str:
    """Return type and fingerprint."""
    return f"{key.get_name()} {fingerprint(key.asbytes())}"


def _is_allowed(name: str, given: str) -> bool:
    """Tell whether HostKeyAlgorithms allows an algorithm; what it adds to the usual ones is not added here."""
    patterns = [pattern.strip() for pattern in given.strip('"').lstrip("+^-").split(",")]
    if not given or given.startswith(("+", "^")):
        return True
    fits = any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    return fits is not given.startswith("-")


def _algorithms(key_type: str) -> Sequence[str]:
    return _RSA[1] if key_type == _RSA[0] else (key_type,)
