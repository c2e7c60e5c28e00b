"""What of ~/.ssh/config counts is what counts for ssh itself, as `ssh -G` tells it, or is refused in words."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

import pytest

from jobferry_common.errors import HostKeyRefused, HostUnreachable
from jobferry_common.models.profiles import SshProfile
from jobferry_common.ssh.config import Login, login_of
from jobferry_common.ssh.hostkeys import HostKeys
from tests.testbed.processes import checked


def login(**profile: Any) -> Login:
    return login_of(SshProfile.load_from_dict({"hostname": "hpc1", **profile}))


def write(ssh_home: Path, text: str) -> None:
    (ssh_home / "config").write_text(text)


ASKED = ["hostname", "user", "port", "userknownhostsfile", "stricthostkeychecking", "hostkeyalias"]
CONFIGURATIONS = [
    "CanonicalizeHostname yes\nHost hpc1\n  HostName 127.0.0.1\n  Port 2201\n",
    "CanonicalizeHostname yes\nCanonicalDomains no.invalid\nHost hpc1\n  HostName other\n",
    "CanonicalizeHostname always\nHost hpc1\n  ProxyJump gate\n  HostName %h.example\n",
    "Match host hpc1 user alice\n  Include included\n  User never\nHost *\n  Port 2202\n",
    "Match host hpc2\n  Include included\nHost *\n  Port 2202\n",
    'Match originalhost hpc1 exec "true"\n  Include included included2\n',
    "Match final\n  Include included2\nHost hpc1\n  HostName last.example\n",
    "Host hpc1\n  Include included\n  HostName second\nInclude included2\n",
    "Host hpc*\n  Match !host hpc2\n  StrictHostKeyChecking accept-new\n  Port 9\n",
]


@pytest.mark.needs("sshd")
@pytest.mark.parametrize("text", CONFIGURATIONS)
def test_what_counts_is_what_ssh_itself_would_take(ssh_home: Path, text: str) -> None:
    write(ssh_home, text)
    (ssh_home / "included").write_text(
        "HostName first.example\nHost hpc1\n  UserKnownHostsFile /one\nHost else\n  Port 7\n"
    )
    (ssh_home / "included2").write_text("HostKeyAlias second\nPort 2203\n")
    # ssh looks for a relative name below the home directory of the account, whatever HOME says
    full = re.sub("(included2?)", rf"{ssh_home}/\1", text)
    (ssh_home / "full").write_text(full)
    words = ["ssh", "-F", str(ssh_home / "full"), "-G", "-l", "alice", "hpc1"]
    lines = [line.partition(" ") for line in checked(words).splitlines()]
    theirs = {key: value for key, _, value in lines if key in ASKED}
    found = login(username="alice")
    known = theirs["userknownhostsfile"].split()[0]
    assert (found.host, found.user, found.port) == (
        theirs["hostname"],
        theirs["user"],
        int(theirs["port"]),
    )
    assert found.trust.name == theirs.get("hostkeyalias", theirs["hostname"])
    assert found.trust.accept_new is (theirs["stricthostkeychecking"] == "accept-new")
    assert Path(found.trust.files[0]).name == Path(known).name


def test_a_name_becomes_canonical_and_is_looked_for_anew(
    ssh_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolved(name: str) -> str:
        if name != "login1.site.example":
            raise socket.gaierror
        return "10.0.0.1"

    monkeypatch.setattr("paramiko.config.socket.gethostbyname", resolved)
    domains = "CanonicalizeHostname yes\nCanonicalDomains no.example site.example\n"
    write(ssh_home, f"{domains}Host hpc1\n  HostName login1\nHost *.site.example\n  Port 2204\n")
    assert (login().host, login().port, login().trust.name) == (
        "login1.site.example",
        2204,
        "login1.site.example",
    )
    assert login(hostname="hpc2").host == "hpc2"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("CanonicalizeHostname yes\nCanonicalizePermittedCNAMEs *:*\n", "write its full HostName"),
        ("ProxyCommand nc %h %p\nProxyUseFdpass yes\n", "a ProxyCommand that stays"),
    ],
)
def test_what_would_lead_elsewhere_and_is_not_known_is_refused(
    ssh_home: Path, text: str, words: str
) -> None:
    write(ssh_home, text)
    with pytest.raises(HostUnreachable, match=words):
        login()


def test_every_file_of_certificates_and_of_revoked_keys_counts(ssh_home: Path) -> None:
    write(ssh_home, "CertificateFile /a\nCertificateFile /b\nRevokedHostKeys /c /d\n")
    assert login().credentials.certificates == ("/a", "/b")
    assert login().trust.revoked == ("/c", "/d")


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ("ssh-ed25519", ["ssh-ed25519"]),
        ("-ecdsa*,rsa-sha2-256", ["ssh-ed25519", "rsa-sha2-512"]),
        ("rsa-*", ["rsa-sha2-512", "rsa-sha2-256"]),
        ("+ssh-rsa", ["ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256"]),
    ],
)
def test_a_kind_of_host_key_that_is_not_wanted_is_not_asked_for(
    ssh_home: Path, given: str, left: list[str]
) -> None:
    write(ssh_home, f"HostKeyAlgorithms {given}\n")
    offered = ["ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256"]
    assert HostKeys(login().trust, "ssh hpc1").preferred(offered) == left


def test_where_no_kind_of_host_key_is_left_it_is_told(ssh_home: Path) -> None:
    write(ssh_home, "HostKeyAlgorithms ssh-dss\n")
    with pytest.raises(HostKeyRefused, match=r"HostKeyAlgorithms ssh-dss of .* leaves no key"):
        HostKeys(login().trust, "ssh hpc1").preferred(["ssh-ed25519"])
