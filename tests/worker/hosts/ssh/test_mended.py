"""Who has mended what a login was refused for does not wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobferry_common.models.profiles import SshProfile
from jobferry_common.ssh.config import login_of
from jobferry_worker.hosts.ssh.mended import marks_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def marks(**profile: object) -> tuple[object, ...]:
    return marks_of(login_of(SshProfile.load_from_dict({"hostname": "hpc1", **profile})))


def key_of(ssh_home: Path) -> None:
    (ssh_home / "id_ed25519").write_text("another")


def made_private(ssh_home: Path) -> None:
    (ssh_home / "id_rsa").chmod(0o600)


def host_key(ssh_home: Path) -> None:
    (ssh_home / "known_hosts").write_text("hpc1 ssh-ed25519 AAAA\n")


def included(ssh_home: Path) -> None:
    (ssh_home / "conf.d" / "site").write_text("Host hpc1\n  User alice\n")


@pytest.mark.parametrize("mend", [key_of, made_private, host_key, included])
def test_a_change_of_a_file_counts(ssh_home: Path, mend: Callable[[Path], None]) -> None:
    (ssh_home / "conf.d").mkdir()
    (ssh_home / "config").write_text("Include conf.d/*\n")
    (ssh_home / "id_rsa").write_text("a key")
    (ssh_home / "id_rsa").chmod(0o644)
    before = marks()
    assert marks() == before
    mend(ssh_home)
    assert marks() != before


def test_what_concerns_another_host_does_not_count(ssh_home: Path) -> None:
    before = marks()
    (ssh_home / "config").write_text("Host hpc2\n  User alice\n")
    assert marks() == before
