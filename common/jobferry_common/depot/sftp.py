"""fsspec's file system over sftp, to a server that is reached as a cluster is; requests do not wait for each other.

    SftpFiles.at("sftp://alice@storage/scratch/depot", {"key_filename": "~/.ssh/depot"})

Address and options are those of a profile of SSH: `storage` may be an alias of `~/.ssh/config`, behind gates. The
key of the host has to stand where that file says, or in the file that the option `known_hosts` names.
"""

from __future__ import annotations

import os
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Self

from fsspec.implementations.sftp import SFTPFileSystem

from jobferry_common.models.profiles import SshProfile
from jobferry_common.ssh.config import login_of
from jobferry_common.ssh.link import link_to
from jobferry_common.ssh.totp import Codes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobferry_common.ssh.config import Login

_ANSWER_SECONDS: Final = 60.0
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
        else:
            file.set_pipelined(True)
        return file
