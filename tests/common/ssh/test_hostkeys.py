"""Host keys against known_hosts: what is believed, what is refused, what is added."""

from __future__ import annotations

import base64
import hashlib
import stat
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import paramiko
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobferry_common.errors import HostKeyRefused
from jobferry_common.ssh.config import Trust
from jobferry_common.ssh.hostkeys import HostKeys, fingerprint
from jobferry_common.ssh.known_hosts import hashed, lines_of
from tests.testbed.processes import checked
from tests.testbed.sshd import make_key

if TYPE_CHECKING:
    from pathlib import Path

RSA = paramiko.RSAKey.generate(2048)
ECDSA = paramiko.ECDSAKey.generate()
OTHER = paramiko.ECDSAKey.generate()
BY_HAND = "ssh hpc1"
ALGORITHMS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "rsa-sha2-512",
    "rsa-sha2-256",
)


def line(names: str, key: paramiko.PKey = ECDSA, mark: str = "") -> str:
    return f"{mark} {names} {key.get_name()} {key.get_base64()} a comment\n".lstrip()


@pytest.fixture
def trust(tmp_path: Path) -> Trust:
    """A host on port 22, and one file for each kind of known_hosts."""
    return Trust(
        name="hpc1",
        port=22,
        files=(str(tmp_path / "known"), str(tmp_path / "more")),
        global_files=(str(tmp_path / "global"),),
    )


def write(trust: Trust, *lines: str) -> None:
    from pathlib import Path

    Path(trust.files[0]).write_text("".join(lines))


def refusal(trust: Trust, key: paramiko.PKey = ECDSA) -> str:
    with pytest.raises(HostKeyRefused) as caught:
        HostKeys(trust, BY_HAND).check(key)
    return str(caught.value)


@pytest.mark.parametrize(
    "names",
    [
        "hpc1",
        "HPC1",
        "other,hpc1",
        "hpc?",
        "*,!hpc2",
        hashed("hpc1", b"12345678901234567890"),
    ],
)
def test_a_known_key_is_believed(trust: Trust, names: str) -> None:
    write(trust, "# a comment\n", "broken\n", line(names))
    HostKeys(trust, BY_HAND).check(ECDSA)


@pytest.mark.parametrize("number", [1, 2])
def test_all_files_count(trust: Trust, tmp_path: Path, number: int) -> None:
    (tmp_path / ("known", "more", "global")[number]).write_text(line("hpc1"))
    HostKeys(trust, BY_HAND).check(ECDSA)


@pytest.mark.parametrize("names", ["hpc2", "hpc", "*,!hpc1", "[hpc1]:2222", "hpc[1]"])
def test_a_key_of_somebody_else_is_none_of_the_host(trust: Trust, names: str) -> None:
    write(trust, line(names))
    assert "is unknown" in refusal(trust)


def test_an_unknown_key_is_refused_with_fingerprint_and_next_step(trust: Trust) -> None:
    text = refusal(replace(trust, port=2222))
    assert fingerprint(ECDSA.asbytes()) in text
    assert "ssh-keyscan -p 2222 hpc1" in text
    assert "(ssh hpc1)" in text
    assert trust.files[0] in text


def test_a_changed_key_is_refused_with_file_and_line(trust: Trust) -> None:
    write(trust, "\n", line("hpc1", OTHER))
    for policy in (trust, replace(trust, accept_new=True)):
        text = refusal(policy)
        assert "has changed" in text
        assert f"{trust.files[0]}:2" in text
        assert fingerprint(ECDSA.asbytes()) in text
        assert fingerprint(OTHER.asbytes()) in text
        assert f"ssh-keygen -R 'hpc1' -f {trust.files[0]}" in text


def test_a_key_of_another_kind_is_not_new(trust: Trust) -> None:
    write(trust, line("hpc1", RSA))
    assert "another kind" in refusal(replace(trust, accept_new=True))


def test_one_of_several_keys_is_enough(trust: Trust) -> None:
    write(trust, line("hpc1", OTHER), line("hpc1", RSA), line("hpc1"))
    HostKeys(trust, BY_HAND).check(ECDSA)


def test_a_revoked_key_is_refused_though_it_is_known(trust: Trust) -> None:
    write(trust, line("hpc1"), line("*", mark="@revoked"))
    assert "is revoked" in refusal(trust)
    write(trust, line("hpc1"), line("*", OTHER, mark="@revoked"))
    HostKeys(trust, BY_HAND).check(ECDSA)


def test_an_authority_does_not_stand_in_the_way_of_a_plain_key(trust: Trust) -> None:
    write(trust, line("*", RSA, mark="@cert-authority"), line("hpc1"))
    HostKeys(trust, BY_HAND).check(ECDSA)
    write(trust, line("*", RSA, mark="@cert-authority"))
    text = refusal(trust)
    assert "names an authority" in text
    assert f"{trust.files[0]}:1" in text
    HostKeys(replace(trust, accept_new=True), BY_HAND).check(ECDSA)


def test_a_key_without_port_counts_for_every_port(trust: Trust) -> None:
    elsewhere = replace(trust, port=2222)
    write(trust, line("hpc1"))
    HostKeys(elsewhere, BY_HAND).check(ECDSA)
    write(trust, line("hpc1", OTHER))
    assert "is unknown" in refusal(elsewhere)
    write(trust, line("[hpc1]:2222", OTHER))
    assert "has changed" in refusal(elsewhere)


def test_a_key_without_port_counts_for_nothing_where_the_port_has_another(trust: Trust) -> None:
    write(trust, line("[hpc1]:2222", OTHER), line("hpc1"))
    elsewhere = replace(trust, port=2222)
    for policy in (elsewhere, replace(elsewhere, accept_new=True)):
        assert f"has changed: {trust.files[0]}:1" in refusal(policy)
    HostKeys(elsewhere, BY_HAND).check(OTHER)
    HostKeys(trust, BY_HAND).check(ECDSA)


def test_a_key_that_is_revoked_without_port_is_so_on_every_port(trust: Trust) -> None:
    write(trust, line("[hpc1]:2222"), line("hpc1", mark="@revoked"))
    assert f"is revoked by {trust.files[0]}:2" in refusal(replace(trust, port=2222))


@pytest.mark.parametrize("hashes", [False, True])
def test_a_new_key_is_added_once_for_all(trust: Trust, tmp_path: Path, *, hashes: bool) -> None:
    new = replace(trust, name="fd00::1", port=2222, accept_new=True, hashed=hashes)
    write(trust, line("hpc1").rstrip("\n"))
    HostKeys(new, BY_HAND).check(OTHER)
    HostKeys(replace(new, accept_new=False), BY_HAND).check(OTHER)
    HostKeys(trust, BY_HAND).check(ECDSA)
    text = (tmp_path / "known").read_text()
    assert ("[fd00::1]:2222" in text) is not hashes
    assert text.count("\n") == 2


def test_a_new_file_is_private(trust: Trust, tmp_path: Path) -> None:
    new = replace(trust, files=(str(tmp_path / "ssh" / "known"),), accept_new=True)
    HostKeys(new, BY_HAND).check(ECDSA)
    assert stat.S_IMODE((tmp_path / "ssh" / "known").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "ssh").stat().st_mode) == 0o700


def test_keys_that_are_added_at_once_do_not_disturb_each_other(trust: Trust) -> None:
    news = [replace(trust, name=f"host{number}", accept_new=True) for number in range(20)]
    threads = [threading.Thread(target=HostKeys(new, BY_HAND).check, args=(ECDSA,)) for new in news]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for new in news:
        HostKeys(replace(new, accept_new=False), BY_HAND).check(ECDSA)


def test_who_wants_to_forget_every_host_may(trust: Trust) -> None:
    new = replace(trust, files=("/dev/null",), accept_new=True)
    HostKeys(new, BY_HAND).check(ECDSA)
    HostKeys(new, BY_HAND).check(OTHER)


def test_a_new_key_that_cannot_be_kept_is_refused(trust: Trust, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    new = replace(trust, files=(str(tmp_path / "file" / "known"),), accept_new=True)
    assert "cannot be kept" in refusal(new)
    assert "cannot be kept" in refusal(replace(new, files=()))


@pytest.mark.parametrize(
    ("key", "first"), [(RSA, ["rsa-sha2-512", "rsa-sha2-256"]), (ECDSA, ["ecdsa-sha2-nistp256"])]
)
def test_algorithms_of_known_keys_come_first(
    trust: Trust, key: paramiko.PKey, first: list[str]
) -> None:
    write(trust, line("hpc1", key))
    found = HostKeys(trust, BY_HAND).preferred(ALGORITHMS)
    assert found[: len(first)] == first
    assert sorted(found) == sorted(ALGORITHMS)


def test_marked_lines_do_not_choose_algorithms(trust: Trust) -> None:
    write(trust, line("hpc1", RSA, mark="@cert-authority"), line("hpc1", RSA, mark="@revoked"))
    assert HostKeys(trust, BY_HAND).preferred(ALGORITHMS) == list(ALGORITHMS)


@given(st.from_regex(r"[a-z0-9.-]{1,30}", fullmatch=True), st.binary(min_size=20, max_size=20))
def test_hashes_are_those_of_openssh(name: str, salt: bytes) -> None:
    _, _, shown, digest = hashed(name, salt).split("|")
    assert base64.b64decode(shown) == salt
    import hmac

    assert base64.b64decode(digest) == hmac.new(salt, name.encode(), hashlib.sha1).digest()


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_no_file_confuses_the_reader(data: bytes) -> None:
    import tempfile

    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        assert all(line.key for line in lines_of([file.name], "hpc1"))


@pytest.mark.needs("sshd")
def test_what_ssh_keygen_hashes_is_found(trust: Trust, tmp_path: Path) -> None:
    key = make_key(tmp_path / "key")
    kind, text, *_ = key.with_suffix(".pub").read_text().split()
    write(trust, f"hpc1 {kind} {text}\n")
    checked(["ssh-keygen", "-q", "-H", "-f", trust.files[0]])
    (found,) = lines_of(trust.files[:1], "hpc1")
    assert found.key == base64.b64decode(text)
    shown = checked(["ssh-keygen", "-l", "-f", str(key)]).split()[1]
    assert fingerprint(found.key) == shown
