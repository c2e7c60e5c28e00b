"""What docs/ssh.md shows can be taken as it stands."""

from __future__ import annotations

import re
import textwrap
import tomllib
from pathlib import Path
from typing import Final

import pytest

from jobferry_common.models.profiles import SshProfile
from jobferry_common.settings import Settings
from jobferry_common.ssh.config import login_of

PAGE: Final = (Path(__file__).parents[4] / "docs" / "ssh.md").read_text()
TOML: Final = re.findall(r"^```toml\n(.*?)^```", PAGE, re.M | re.S)
HOSTS: Final = re.findall(r"^    Host .*\n(?:^     .*\n)+", PAGE, re.M)


def _messages() -> list[str]:
    rows = re.findall(r"^\| (`.*?) \|", PAGE.partition("it says")[2], re.M)
    return [words for row in rows for words in re.findall("`([^`]+)`", row)]


@pytest.mark.parametrize("text", TOML)
def test_its_settings_load(text: str) -> None:
    (profile,) = Settings(**tomllib.loads(text)).clusters.values()
    assert isinstance(profile.remote_profile, SshProfile)


def test_its_ssh_configuration_means_what_it_says(ssh_home: Path) -> None:
    (ssh_home / "config").write_text("".join(map(textwrap.dedent, HOSTS)))
    one = login_of(SshProfile(hostname="hpc1"))
    assert one.name == "alice@login.hpc1.example:22"
    assert one.credentials.keys == (str(ssh_home / "hpc1"),)
    other = login_of(SshProfile(hostname="hpc2"))
    assert [hop.name for hop in other.jumps] == ["alice@gate.hpc2.example:22"]
    assert other.host == "login.internal"


def test_every_key_of_a_profile_is_explained() -> None:
    table = PAGE[PAGE.index("| key |") :].partition("\n\n")[0]
    named = {
        name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    assert named == set(SshProfile.model_fields)


@pytest.mark.parametrize("words", _messages())
def test_its_messages_are_those_of_the_code(words: str) -> None:
    top = Path(__file__).parents[4]
    packages = (top / "common/jobferry_common/ssh", top / "worker/jobferry_worker/hosts/ssh")
    files = [file for package in packages for file in package.glob("*.py")]
    code = "".join(re.sub(r'"\s*\n\s*f?"', "", file.read_text()) for file in files)
    for part in re.split(r"…|~/.ssh/known_hosts:7|'Verification code:'|: $", words):
        assert part.strip(" :;") in code, part
