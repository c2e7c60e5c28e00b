"""What the tests of ssh connections do again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobferry_common.errors import HostUnreachable
from jobferry_worker.hosts.ssh.backoff import Patience
from jobferry_worker.hosts.ssh.connect import Connection

if TYPE_CHECKING:
    import paramiko

#: tests do not want to wait for minutes
HASTY = Patience(
    first_seconds=0.01, most_seconds=0.05, first_refused_seconds=0.01, most_refused_seconds=0.05
)


def said(transport: paramiko.Transport, command: str = "echo hello") -> str:
    """Return what a command prints there."""
    channel = transport.open_session()
    channel.exec_command(command)
    with channel.makefile("rb") as output:
        return output.read().decode()


def refusal(connection: Connection) -> str:
    with pytest.raises(HostUnreachable) as caught:
        connection.transport()
    return str(caught.value)


def problem(connection: Connection) -> str:
    try:
        connection.transport()
    except HostUnreachable as error:
        return str(error)
    return ""


def reached(connection: Connection) -> paramiko.Transport | None:
    try:
        return connection.transport()
    except HostUnreachable:
        return None
