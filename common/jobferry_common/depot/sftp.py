"""fsspec's file system over sftp, to a server that is reached as a cluster is; requests do not wait for each other.

    SftpFiles.at("sftp://alice@storage/scratch/depot", {"key_filename": "~/.ssh/depot"})

Address and options are those of a profile of SSH: `storage` may be an alias of `~/.ssh/config`, behind gates. The
key of the host has to stand where that file says, or in the file that the option `known_hosts` names.
"""

from __future__ import annotations

import errno
import os
import weakref
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Self

import paramiko
from fsspec.implementations.sftp import SFTPFileSystem
from paramiko.sftp import CMD_EXTENDED, CMD_EXTENDED_REPLY

from jobferry_common.models.profiles import SshProfile
from jobferry_common.ssh.config import login_of
from jobferry_common.ssh.link import link_to
from jobferry_common.ssh.totp import Codes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jobferry_common.ssh.config import Login

_ANSWER_SECONDS: Final = 60.0
#: what a server says that has no better word, for a full disk too
_FAILURE: Final = "Failure"
#: with less than this the disk is full: a request writes no more at once
_LITTLE_BYTES: Final = 256 * 1024
_KNOWN_HOSTS: Final = "known_hosts"


class SftpFiles(SFTPFileSystem):  # type: ignore[misc]  # fsspec has no types
    """An account on an sftp server."""

    #: fsspec gives out no instance twice: a connection that was lost has to be opened anew
    cachable = False

    def __init__(self, profile: SshProfile, *, known_hosts: str = "") -> None:
        self._profile = profile
        self._known_hosts = known_hosts
        super().__init__(profile.hostname)

    @classmethod
    def at(cls, url: str, options: Mapping[str, Any]) -> Self:
        """Return the file system of an address.

        Raises:
            BadInput: an option is none of a profile of SSH.
            HostUnreachable: the server does not answer, is not trusted, or does not let the user in.
        """
        parts = cls._get_kwargs_from_urls(url)
        named = {"hostname": parts.pop("host"), **parts, **options}
        known_hosts = str(named.pop(_KNOWN_HOSTS, ""))
        profile = SshProfile.load_from_dict(named, where="depot.options")
        return cls(profile, known_hosts=known_hosts)

    def _connect(self) -> None:
        link = link_to(self._login(), Codes())
        # whoever forgets the file system ends the connection; at the end of the process it ends by itself
        weakref.finalize(self, link.close).atexit = False
        self.transport = link.transport
        self.ftp = self.transport.open_sftp_client()
        # a server that hangs must not hold a thread for ever
        if channel := self.ftp.get_channel():
            channel.settimeout(_ANSWER_SECONDS)

    def _login(self) -> Login:
        login = login_of(self._profile)
        if not self._known_hosts:
            return login
        file = os.path.expanduser(self._known_hosts)  # noqa: PTH111 - a text
        return replace(login, trust=replace(login.trust, files=(file,), global_files=()))

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:  # noqa: ANN401
        del options
        file = self.ftp.open(path, mode)
        if "r" in mode:
            file.prefetch()
            return file
        file.set_pipelined(True)
        return _Writing(self.ftp, file, path)


class _Writing:
    """A file that is written without waiting for answers; each was looked at when it is closed."""

    def __init__(self, client: paramiko.SFTPClient, file: paramiko.SFTPFile, path: str) -> None:
        self._client = client
        self._file = file
        self._path = path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self._settle()
        finally:
            self._file.close()

    def write(self, data: bytes) -> None:
        """Send some more of it.

        Raises:
            OSError: something before could not be written.
        """
        with self._told():
            self._file.write(data)

    def _settle(self) -> None:
        """Take the answers that paramiko would throw away unread when it closes the file."""
        with self._told():
            self._file.set_pipelined(False)
            self._file._write(b"")  # type: ignore[attr-defined]  # noqa: SLF001 - it waits for all that came before

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Have a "Failure" without a reason say that the disk is full, where it is."""
        try:
            yield
        except OSError as error:
            if error.errno is None and str(error) == _FAILURE:
                raise self._reason() from error
            raise

    def _reason(self) -> OSError:
        try:
            room = _room(self._client, self._path)
        except (OSError, EOFError, paramiko.SSHException):
            room = None
        if room is not None and room < _LITTLE_BYTES:
            return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return OSError(
            f"{_FAILURE}: the server gives no reason; is the disk or the quota there full?"
        )


def _room(client: paramiko.SFTPClient, path: str) -> int | None:
    """Return how many bytes may still be written to a file system; None where the server does not tell."""
    # `statvfs@openssh.com`: block size, fragment size, then blocks in all, free, and free for us
    kind, answer = client._request(CMD_EXTENDED, "statvfs@openssh.com", path)  # type: ignore[attr-defined]  # noqa: SLF001
    if kind != CMD_EXTENDED_REPLY:
        return None
    _, fragment, *blocks = (answer.get_int64() for _ in range(5))
    return int(fragment * blocks[-1])
