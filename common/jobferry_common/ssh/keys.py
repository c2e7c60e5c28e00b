"""Private keys: of files in any form that ssh-keygen writes, and of the agent.

with Keys(credentials) as keys:
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

from jobferry_common.errors import LoginRefused
from jobferry_common.ssh import secrets
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A key to be tried."""

    key: paramiko.PKey
    name: str  #: for messages


class UnusableKeyError(Exception):
    """A key cannot be used, and why."""


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

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
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
        for certificate in filter(None, (f"{path}{CERTIFICATE}", self._credentials.certificate)):
            if _certified(key, certificate):
                yield Offer(key=key, name=f"{path} with {certificate}")
                key.public_blob = None
        yield Offer(key=key, name=path if found is None else f"{path} (by the agent)")


def _agent_name(key: paramiko.PKey) -> str:
    return f"the agent's {key.get_name()} {fingerprint(key.asbytes())}"


def _home_path(path: str) -> str:
    return os.path.expanduser(path)  # noqa: PTH111 - a text


def _public(path: str) -> bytes:
    """Return the public key beside a private one; b"" where it cannot be read."""
    file = Path(path if path.endswith(".pub") else f"{path}.pub")
    try:
        return base64.b64decode(file.read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return b""


def _certified(key: paramiko.PKey, path: str) -> bool:
    """Load the user's certificate into a key; False if there is none, or it is of another key."""
    if not Path(path).exists():
        return False
    try:
        key.load_certificate(path)
    except (OSError, ValueError, paramiko.SSHException):
        return False
    return True


def _private(path: str, credentials: Credentials) -> paramiko.PKey:
    try:
        with Path(path).open("rb") as file:
            seen = os.fstat(file.fileno())
            data = file.read()
    except OSError as error:
        msg = f"cannot be read: {error.strerror}"
        raise UnusableKeyError(msg) from None
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
