"""known_hosts as OpenSSH writes and reads it: patterns, hashed names, @revoked, @cert-authority.

[login.hpc1]:2222,10.1.2.3 ssh-ed25519 AAAAC3…
|1|salt|hash ssh-rsa AAAAB3…
@revoked * ssh-rsa AAAAB3…
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import fnmatch
import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import HostKeyRefused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jobferry_common.ssh.config import Trust

_PORT: Final = 22
_HASHED: Final = "|1|"
_SALT_BYTES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line that concerns a host."""

    file: str
    number: int  #: counted from 1
    mark: str  #: "", "@revoked" or "@cert-authority"
    type: str  #: such as "ssh-ed25519"
    key: bytes

    @property
    def place(self) -> str:
        """For messages."""
        return f"{self.file}:{self.number}"


def names_of(host: str, port: int) -> tuple[str, ...]:
    """Return under which names a host can stand there, the closest first."""
    return (host,) if port == _PORT else (f"[{host}]:{port}", host)


def lines_of(files: Iterable[str], name: str) -> list[Line]:
    """Return the lines about a name; lines that cannot be read count for nothing, as with OpenSSH."""
    return [line for file in files for line in _lines(file, name)]


def append(trust: Trust, key_type: str, key: str) -> None:
    """Write a new key behind the user's others, in one piece.

    Raises:
        HostKeyRefused: the file cannot be written, so that the key would be new again the next time.
    """
    name = names_of(trust.name, trust.port)[0]
    shown = hashed(name, secrets.token_bytes(_SALT_BYTES)) if trust.hashed else name
    try:
        _append(Path(trust.files[0]), f"{shown} {key_type} {key}\n")
    except (OSError, IndexError) as error:
        why = getattr(error, "strerror", None) or "UserKnownHostsFile is none"
        msg = (
            f"the host key of {name} is new, and cannot be kept in {', '.join(trust.files[:1])}: {why}; "
            "make that file writable, or add the key there yourself"
        )
        raise HostKeyRefused(msg) from None


def hashed(name: str, salt: bytes) -> str:
    """Return a name as `HashKnownHosts yes` writes it."""
    digest = hmac.digest(salt, name.encode(), hashlib.sha1)
    return f"{_HASHED}{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


def _append(path: Path, line: str) -> None:
    """Append under a lock, with one write: other programs append to this file as well, so it is not replaced."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        size = os.fstat(descriptor).st_size
        broken = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        os.write(descriptor, (("\n" if broken else "") + line).encode())
        with suppress(OSError):  # /dev/null, for those who want to forget
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lines(file: str, name: str) -> Iterator[Line]:
    try:
        text = Path(file).read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        msg = f"{file} cannot be read: {error.strerror}; it says which host keys are right"
        raise HostKeyRefused(msg) from None
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        mark = words.pop(0) if words[0].startswith("@") else ""
        if len(words) >= len(("names", "type", "key")) and _means(words[0], name):
            key = _decoded(words[2])
            if key:
                yield Line(file=file, number=number, mark=mark, type=words[1], key=key)


def _means(patterns: str, name: str) -> bool:
    if patterns.startswith(_HASHED):
        return _is_hash_of(patterns, name)
    found = False
    for pattern in patterns.lower().split(","):
        negated = pattern.startswith("!")
        if _fits(name, pattern[1:] if negated else pattern):
            if negated:
                return False
            found = True
    return found


def _fits(name: str, pattern: str) -> bool:
    """Compare with the two wildcards of OpenSSH; brackets mean themselves."""
    return fnmatch.fnmatchcase(name, pattern.replace("[", "[[]"))


def _is_hash_of(text: str, name: str) -> bool:
    salt, _, _ = text.removeprefix(_HASHED).partition("|")
    return hmac.compare_digest(hashed(name, _decoded(salt)).encode(), text.encode())


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
