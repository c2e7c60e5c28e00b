"""Passwords that a real sshd asks for by keyboard-interactive, through PAM.

The server sees a folder of PAM and a file of passwords of its own, in a mount namespace; those of the
machine stay as they are.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from tests.services.ssh.connecting import refusal, said
from tests.testbed.processes import checked
from tests.testbed.sshd import SshServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from jobferry_worker.hosts.ssh.connect import Connection

pytestmark = pytest.mark.needs("sshd", "namespaces", "openssl")

_PASSWORD = "correct horse"
_PAM = """\
auth required pam_unix.so
account required pam_permit.so
session required pam_permit.so
"""
_OPTIONS = {
    "UsePAM": "yes",
    "KbdInteractiveAuthentication": "yes",
    "AuthenticationMethods": "keyboard-interactive:pam",
    "PermitRootLogin": "yes",
}


@pytest.fixture
def asking(tmp_path: Path) -> Iterator[SshServer]:
    """A server that lets root in by that password alone."""
    (tmp_path / "pam.d").mkdir()
    (tmp_path / "pam.d" / "sshd").write_text(_PAM)
    digest = checked(["openssl", "passwd", "-6", _PASSWORD]).strip()
    (tmp_path / "shadow").write_text(f"root:{digest}:19000:0:99999:7:::\n")
    places = {tmp_path / "pam.d": "/etc/pam.d", tmp_path / "shadow": "/etc/shadow"}
    binds = " && ".join(
        f"mount --bind {shlex.quote(str(own))} {place}" for own, place in places.items()
    )
    unshare = ("unshare", "--mount", "--propagation", "private")
    inside = (*unshare, "sh", "-c", f'{binds} && exec "$@"', "sh")
    with SshServer(tmp_path / "pam", options=_OPTIONS, inside=inside) as server:
        yield server


def test_pam_asks_and_is_answered(
    known: Path,
    asking: SshServer,
    connect: Callable[..., Connection],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known.write_text(asking.known_hosts.read_text())
    given = {"port": asking.port, "username": "root", "key_filename": None}
    monkeypatch.setenv("HPC1_PASSWORD", "wrong horse")
    connection = connect(**given, password="env:HPC1_PASSWORD")
    text = refusal(connection)
    assert "wants keyboard-interactive; tried: answers to its questions" in text
    assert "horse" not in text
    monkeypatch.setenv("HPC1_PASSWORD", _PASSWORD)
    assert said(connection.transport()) == "hello\n"
    assert "Accepted keyboard-interactive/pam for root" in asking.log()
