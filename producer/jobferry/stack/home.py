"""Where an embedded stack keeps its things: one private directory of the user.

~/.local/state/jobferry/stack/       0700
lock            held while a stack is started or stopped
alive           held by the supervisor as long as it lives
stack.json      who runs it: host, pid, since when
password        0600
server.conf     0600
broker.sock     in a directory of /tmp where this path is too long for a socket
data/           the append-only file
secrets/        of machines that were described with a secret in them; 0600
logs/           supervisor, server, worker
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from platformdirs.unix import Unix

from jobferry_common.errors import BrokerUnreachable

if TYPE_CHECKING:
    from jobferry_common.settings import Settings

#: longest path of a unix socket in bytes: 104 with its end mark on macOS, 108 on Linux
_LONGEST_SOCKET: Final = 100
_PRIVATE: Final = 0o700


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """The directory of a stack, which exists and is private."""

    directory: Path
    socket: Path

    @classmethod
    def of(cls, settings: Settings) -> Home:
        """Make the directory if need be.

        Raises:
            BrokerUnreachable: it cannot be made, or it is not this user's alone.
        """
        directory = settings.stack.directory or Unix("jobferry").user_state_path / "stack"
        return cls.at(directory.expanduser().absolute())

    @classmethod
    def at(cls, directory: Path) -> Home:
        """Do what `of` does, for this directory."""
        make_private(directory)
        for name in ("data", "logs"):
            make_private(directory / name)
        return cls(directory=directory, socket=_socket(directory))

    @property
    def lock(self) -> Path:
        """Held while somebody starts or stops the stack."""
        return self.directory / "lock"

    @property
    def alive(self) -> Path:
        """Held by the supervisor; the kernel lets go of it when that process ends, however it ends."""
        return self.directory / "alive"

    @property
    def record(self) -> Path:
        """Who runs the stack."""
        return self.directory / "stack.json"

    @property
    def data(self) -> Path:
        """What the server keeps."""
        return self.directory / "data"

    @property
    def secrets(self) -> Path:
        """Where the secrets of machines are."""
        return self.directory / "secrets"

    def log(self, name: str) -> Path:
        """Return the log of "supervisor", "server" or "worker"."""
        return self.directory / "logs" / f"{name}.log"

    def password(self) -> str:
        """Return the broker's password, made on first use."""
        path = self.directory / "password"
        try:
            return path.read_text(encoding="ascii")
        except FileNotFoundError:
            write_private(path, secrets.token_urlsafe(32))
            return path.read_text(encoding="ascii")

    def url(self) -> str:
        """Return the broker's URL, with its password."""
        return f"redis+socket://:{quote(self.password())}@{quote(str(self.socket))}?virtual_host=0"


def make_private(directory: Path) -> None:
    """Make a directory that only this user can enter.

    Raises:
        BrokerUnreachable: there is no room, or it belongs to somebody else.
    """
    try:
        directory.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
        seen = directory.lstat()
        if stat.S_ISLNK(seen.st_mode) or seen.st_uid != os.getuid():
            msg = (
                f"{directory} is a link or belongs to another user, so the embedded stack does not "
                "use it: remove it, or set [stack] directory to a directory of your own"
            )
            raise BrokerUnreachable(msg)
        if seen.st_mode & 0o077:
            directory.chmod(_PRIVATE)
    except OSError as error:
        msg = (
            f"The embedded stack cannot use {directory}: {error.strerror}. "
            "Make room or set [stack] directory, or set `broker` to one that runs."
        )
        raise BrokerUnreachable(msg) from error


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user can read, wholly or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        msg = (
            f"The embedded stack cannot write {path}: {error.strerror}. Make room, then try again."
        )
        raise BrokerUnreachable(msg) from error


def _socket(directory: Path) -> Path:
    near = directory / "broker.sock"
    if len(os.fsencode(near)) <= _LONGEST_SOCKET:
        return near
    digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:12]
    for base in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 - a private directory is made in it
        short = Path(base) / f"jobferry-{os.getuid()}-{digest}"
        if len(os.fsencode(short / near.name)) <= _LONGEST_SOCKET:
            make_private(short)
            return short / near.name
    msg = f"No path is short enough for a unix socket: {near}. Set [stack] directory to a shorter one."
    raise BrokerUnreachable(msg)
