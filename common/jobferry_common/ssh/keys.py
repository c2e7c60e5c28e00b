"""Private keys: of files in any form that ssh-keygen writes, and of the agent.

with Keys(credentials, "alice") as keys:
    for offer in keys.offers():             what to try, in this order
        ...
    keys.notes                              what could not be used, in words
"""

from __future__ import annotations

import base64
import io
import os
import socket
import stat
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from jobferry_common import secrets as secret_files
from jobferry_common.errors import LoginRefused
from jobferry_common.ssh import certificates, secrets
from jobferry_common.ssh.hostkeys import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from jobferry_common.ssh.config import Credentials

    Load = Callable[[bytes, bytes | None], object]

#: those that OpenSSH tries; keys on a token can only be used through an agent
DEFAULT_KEYS: Final = ("~/.ssh/id_rsa", "~/.ssh/id_ecdsa", "~/.ssh/id_ed25519")
_AGENT_SECONDS: Final = 10.0
#: what is behind a key's name in that of its certificate
CERTIFICATE: Final = "-cert.pub"
_MARK: Final = b"PRIVATE KEY"
#: what group and others may do
_OTHERS: Final = 0o077
#: bytes of a file that are read: no key is larger
_LARGEST: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A key to be tried."""

    key: paramiko.PKey
    name: str  #: for messages


class UnusableKeyError(Exception):
    """A key cannot be used, and why."""


class _OfAnotherKeyError(UnusableKeyError):
    """A certificate is none of a key."""


class Agent(paramiko.agent.AgentSSH):
    """The agent behind a socket."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.settimeout(_AGENT_SECONDS)
            self._socket.connect(path)
            self._connect(self._socket)  # type: ignore[attr-defined]
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        """Let go of the agent."""
        self._socket.close()


def keys_held(path: str) -> tuple[bytes, ...]:
    """Return the public keys that the agent behind a socket holds; none if it does not answer."""
    try:
        with closing(Agent(path)) as agent:
            return tuple(key.asbytes() for key in agent.get_keys())
    except (OSError, paramiko.SSHException):
        return ()


class Keys:
    """The keys of one attempt to log in, in the order in which they are tried: those that were named come first.

    OpenSSH tries named keys that no agent holds last; but a server cuts off after some attempts, and an agent may
    hold more keys than that.
    """

    def __init__(self, credentials: Credentials, user: str) -> None:
        self._credentials = credentials
        self._user = user
        self._agent: Agent | None = None
        self._held: list[paramiko.PKey] = []
        self.notes: list[str] = []  #: what could not be used, and why

    def __enter__(self) -> Self:
        """Ask the agent, if there is one, which keys it holds."""
        if path := self._credentials.agent:
            try:
                self._agent = Agent(path)
                self._held = list(self._agent.get_keys())
            except (OSError, paramiko.SSHException) as error:
                self.notes.append(f"the agent at {path} does not answer ({error})")
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the agent."""
        if self._agent is not None:
            self._agent.close()

    def offers(self) -> Iterator[Offer]:
        """Return one key after the other; no file is read before its turn."""
        tried = set[tuple[bytes, bool]]()
        for offer in self._all():
            mark = (offer.key.asbytes(), offer.key.public_blob is not None)
            if mark not in tried:
                tried.add(mark)
                yield offer

    def _all(self) -> Iterator[Offer]:
        given = self._credentials
        for path in given.keys:
            yield from self._from_file(path)
        if not given.named_only:
            yield from (Offer(key=key, name=_agent_name(key)) for key in self._held)
        for path in map(_home_path, DEFAULT_KEYS if given.default_keys else ()):
            if Path(path).exists():
                yield from self._from_file(path)

    def _from_file(self, path: str) -> Iterator[Offer]:
        """Return the key of a file, with its certificate first; the agent signs if it holds the same key."""
        public = _public(path)
        found = next((key for key in self._held if key.asbytes() == public), None)
        try:
            key = found or _private(path, self._credentials)
        except UnusableKeyError as error:
            self.notes.append(f"{path} {error}")
            return
        for certificate in (f"{path}{CERTIFICATE}", *self._credentials.certificates):
            if self._certified(key, certificate):
                yield Offer(key=key, name=f"{path} with {certificate}")
                key.public_blob = None
        yield Offer(key=key, name=path if found is None else f"{path} (by the agent)")

    def _certified(self, key: paramiko.PKey, path: str) -> bool:
        """Load the user's certificate into a key; False if there is none, or it is none of this key.

        As with OpenSSH the server decides whether it is good: the clock may be wrong here. Why it may not be is noted.
        """
        if not os.path.lexists(path):
            return False
        try:
            why = _load(key, _content(path), self._user)
        except _OfAnotherKeyError as error:
            # of several that were named each is of one key
            if path not in self._credentials.certificates or len(self._credentials.keys) == 1:
                self.notes.append(f"the certificate {path} {error}")
            return False
        except UnusableKeyError as error:
            self.notes.append(f"the certificate {path} {error}")
            return False
        if why:
            self.notes.append(f"the certificate {path} {why}")
        return True


def _agent_name(key: paramiko.PKey) -> str:
    return f"the agent's {key.get_name()} {fingerprint(key.asbytes())}"


def _home_path(path: str) -> str:
    return os.path.expanduser(path)  # noqa: PTH111 - a text


def _public(path: str) -> bytes:
    """Return the public key beside a private one; b"" where it cannot be read."""
    file = path if path.endswith(".pub") else f"{path}.pub"
    try:
        return base64.b64decode(_content(file).split()[1])
    except (UnusableKeyError, ValueError, IndexError):
        return b""


def _load(key: paramiko.PKey, data: bytes, user: str) -> str:
    """Load a certificate into a key; return what speaks against it.

    Raises:
        UnusableKeyError: it is none of this key.
    """
    found = certificates.certificate_in(data)
    if found is not None and certificates.key_of(found) != key.asbytes():
        msg = "is of another key"
        raise _OfAnotherKeyError(msg)
    try:
        key.load_certificate(data.decode())
    except (ValueError, paramiko.SSHException):
        msg = "is of another kind of key, or damaged"
        raise _OfAnotherKeyError(msg) from None
    return certificates.doubts(found, user, time.time()) if found else ""


def _content(path: str) -> bytes:
    """Return what is in a file, at once: a pipe to which nobody writes would be waited for without an end.

    Raises:
        UnusableKeyError: it cannot be read, or is no file.
    """
    return _opened_file(path)[0]


def _opened_file(path: str) -> tuple[bytes, os.stat_result]:
    try:
        with open(path, "rb", opener=secret_files.at_once) as file:
            seen = os.fstat(file.fileno())
            if not stat.S_ISREG(seen.st_mode):
                msg = "is no regular file"
                raise UnusableKeyError(msg)
            return file.read(_LARGEST), seen
    except OSError as error:
        msg = f"cannot be read: {error.strerror}"
        raise UnusableKeyError(msg) from None


def _private(path: str, credentials: Credentials) -> paramiko.PKey:
    data, seen = _opened_file(path)
    if _MARK in data and seen.st_uid == os.getuid() and seen.st_mode & _OTHERS:
        # as OpenSSH does; whose file another user owns is not the worker's to protect
        msg = f"is not used, because others can read it (mode {stat.S_IMODE(seen.st_mode):04o}): chmod 600 {path}"
        raise UnusableKeyError(msg)
    if _MARK not in data:
        msg = "is no private key, and the agent does not hold it"
        raise UnusableKeyError(msg)
    load = (
        serialization.load_ssh_private_key
        if b"BEGIN OPENSSH" in data
        else serialization.load_pem_private_key
    )
    return _in_paramiko(_opened(load, data, credentials))


def _opened(load: Load, data: bytes, credentials: Credentials) -> object:
    """Return a key, with the passphrase if it needs one."""
    try:
        with suppress(TypeError):  # it is encrypted
            return load(data, None)
        if credentials.passphrase is None:
            msg = "is encrypted: set passphrase, or load it into an agent"
            raise UnusableKeyError(msg)
        return load(data, secrets.read(credentials.passphrase, "passphrase").encode())
    except (ValueError, TypeError):
        msg = "cannot be opened: the passphrase is wrong, or the file is damaged"
    except UnsupportedAlgorithm:
        msg = "is of a kind that cannot be used here: use ed25519, or load it into an agent"
    except LoginRefused as error:
        msg = f"cannot be opened: {error}"
    raise UnusableKeyError(msg)


def _in_paramiko(key: object) -> paramiko.PKey:
    """Return a key as paramiko has it, whatever form its file had."""
    kinds: Sequence[tuple[type, type[paramiko.PKey]]] = (
        (Ed25519PrivateKey, paramiko.Ed25519Key),
        (EllipticCurvePrivateKey, paramiko.ECDSAKey),
        (RSAPrivateKey, paramiko.RSAKey),
    )
    for kind, wanted in kinds:
        if isinstance(key, kind):
            text = key.private_bytes(  # type: ignore[attr-defined]
                serialization.Encoding.PEM,
                serialization.PrivateFormat.OpenSSH,
                serialization.NoEncryption(),
            )
            return wanted.from_private_key(io.StringIO(text.decode()))
    msg = "is of a kind that cannot be used any more: make an ed25519 key (ssh-keygen -t ed25519)"
    raise UnusableKeyError(msg)
