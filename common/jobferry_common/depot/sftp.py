"""fsspec's file system over sftp, with known hosts enforced and requests that do not wait for each other.

    SftpFiles("storage.example.org", username="alice", key_filename="~/.ssh/depot")

The key of a host has to stand in `~/.ssh/known_hosts`, or in the file that the option `known_hosts` names.
"""

from __future__ import annotations

import os
from typing import Any, Final

import paramiko
from fsspec.implementations.sftp import SFTPFileSystem

_CONNECT_SECONDS: Final = 20.0
_ANSWER_SECONDS: Final = 60.0
_ALIVE_SECONDS: Final = 15


class SftpFiles(SFTPFileSystem):  # type: ignore[misc]  # fsspec has no types
    """An account on an sftp server."""

    def __init__(self, host: str, *, known_hosts: str = "", **options: Any) -> None:
        self._known_hosts = known_hosts
        if key := options.get("key_filename"):
            options["key_filename"] = os.path.expanduser(key)  # noqa: PTH111
        super().__init__(host, host_key_policy="reject", **options)

    def _connect(self) -> None:
        self.client = paramiko.SSHClient()
        if self._known_hosts:
            self.client.load_host_keys(os.path.expanduser(self._known_hosts))  # noqa: PTH111
        else:
            self.client.load_system_host_keys()
        self.client.set_missing_host_key_policy(self.host_key_policy)
        limits = dict.fromkeys(("timeout", "banner_timeout", "auth_timeout"), _CONNECT_SECONDS)
        self.client.connect(self.host, **{**limits, **self.ssh_kwargs})
        self.ftp = self.client.open_sftp()
        # a server that hangs must not hold a thread for ever, nor one that is idle lose its connection
        if channel := self.ftp.get_channel():
            channel.settimeout(_ANSWER_SECONDS)
        if transport := self.client.get_transport():
            transport.set_keepalive(_ALIVE_SECONDS)

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:  # noqa: ANN401
        del options
        file = self.ftp.open(path, mode)
        if "r" in mode:
            file.prefetch()
        else:
            file.set_pipelined(True)
        return file
