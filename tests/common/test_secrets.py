"""Secrets by reference: found, refused where others can read them, never in a message."""

from __future__ import annotations

import os
import sys
import types
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from jobferry_common import secrets
from jobferry_common.errors import BadInput
from jobferry_common.models.profiles import SshProfile

if TYPE_CHECKING:
    from pathlib import Path


def read(reference: str) -> str:
    return secrets.read(reference, "password")


def refusal(reference: str) -> str:
    with pytest.raises(BadInput) as caught:
        read(reference)
    text = str(caught.value)
    assert text.startswith(f"password ({reference}): ")
    return text


def test_a_literal_is_itself() -> None:
    assert read("geheim: 1") == "geheim: 1"


def test_a_variable_is_read_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "the environment of this process has no variable HPC1" in refusal("env:HPC1")
    monkeypatch.setenv("HPC1", "geheim")
    assert read("env:HPC1") == "geheim"
    monkeypatch.setenv("HPC1", "")
    assert "is empty" in refusal("env:HPC1")


@pytest.mark.parametrize(
    ("content", "wanted"), [("geheim", "geheim"), ("geheim\n", "geheim"), (" ä \r\n", " ä ")]
)
def test_a_private_file_is_read(home: Path, content: str, wanted: str) -> None:
    file = home / "secret"
    file.write_bytes(content.encode())
    for mode in (0o600, 0o400):
        file.chmod(mode)
        assert read("file:~/secret") == wanted
        assert read(f"file:{file}") == wanted


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "secret"
    file.write_text("geheim")
    file.chmod(mode)
    text = refusal(f"file:{file}")
    assert f"chmod 600 {file}" in text
    assert "geheim" not in text


def test_a_file_that_is_not_there_or_no_text_is_told(tmp_path: Path) -> None:
    assert "No such file" in refusal(f"file:{tmp_path}/no")
    assert "Is a directory" in refusal(f"file:{tmp_path}")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "binary").chmod(0o600)
    assert "no UTF-8" in refusal(f"file:{tmp_path}/binary")


def test_the_keyring_is_asked_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert "pip install 'jobferry[keyring]'" in refusal("keyring:hpc1/alice")
    entries = {("hpc1", "alice"): "geheim"}
    module = types.ModuleType("keyring")
    errors = types.ModuleType("keyring.errors")
    module.get_password = lambda service, user: entries.get((service, user))  # type: ignore[attr-defined]
    errors.KeyringError = RuntimeError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keyring", module)
    monkeypatch.setitem(sys.modules, "keyring.errors", errors)
    assert read("keyring:hpc1/alice") == "geheim"
    assert "keyring set hpc1 bob" in refusal("keyring:hpc1/bob")


@pytest.mark.parametrize(
    "text", ["env:", "env:1X", "env:geheim wort", "file:geheim", "keyring:geheim", "keyring:/x"]
)
def test_a_reference_that_leads_nowhere_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        SshProfile.load_from_dict({"hostname": "h", "password": text})
    assert "geheim" not in str(caught.value)
    assert "remote_profile: password: begins with" in str(caught.value)


def test_only_references_are_dumped() -> None:
    given = {"password": "env:A", "passphrase": "geheim", "totp_secret": "file:/x"}
    profile = SshProfile.load_from_dict({"hostname": "h", **given})
    dumped = profile.model_dump(mode="json")
    assert (dumped["password"], dumped["passphrase"], dumped["totp_secret"]) == (
        "env:A",
        None,
        "file:/x",
    )
    assert profile.secrets() == ["passphrase"]
    assert not {"env:A", "file:/x", "geheim"} & set(profile.public().model_dump().values())
    assert SshProfile.model_validate(dumped).password == SecretStr("env:A")


def test_what_is_no_file_is_told_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert "is no regular file" in refusal(f"file:{tmp_path}/pipe")
