"""The table [depot]: what is an address, and that no secret stands in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from jobferry_common.depot.depot import forget_depots, open_depot
from jobferry_common.depot.settings import DepotSettings
from jobferry_common.errors import BadInput
from jobferry_common.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

    from jobferry_common.ledger import Ledger


@pytest.mark.parametrize(
    ("url", "known"),
    [
        (None, None),
        ("", None),
        ("redis:", "redis:"),
        ("/shared/de pot", "file:///shared/de%20pot"),
        ("file:///shared/depot", "file:///shared/depot"),
        ("sftp://alice@host:2022/depot", "sftp://alice@host:2022/depot"),
        ("s3://bucket/depot", "s3://bucket/depot"),
    ],
)
def test_addresses(url: str | None, known: str | None) -> None:
    assert DepotSettings(url=url).url == known


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("shared/depot", "expected 'redis:', a folder or an address"),
        ("file://host/shared", "expected file:///path"),
        ("sftp://alice:hunter2@host/depot", "expected the user alone"),
    ],
)
def test_what_is_no_address_is_said_with_what_was_expected(url: str, says: str) -> None:
    with pytest.raises(ValidationError, match=says) as caught:
        DepotSettings(url=url)
    assert "hunter2" not in caught.value.errors()[0]["msg"]


def test_a_secret_is_only_ever_a_reference() -> None:
    with pytest.raises(ValidationError, match="expected env:NAME, file:PATH or keyring"):
        DepotSettings(url="sftp://host/depot", options={"password": "hunter2"})
    settings = DepotSettings(url="sftp://host", options={"password": "env:PASSWORD", "port": 2022})
    assert "PASSWORD" not in repr(settings)


@pytest.mark.parametrize("value", ["env:", "file:geheim", "keyring:geheim"])
def test_a_reference_that_leads_nowhere_is_refused_without_being_shown(value: str) -> None:
    with pytest.raises(ValidationError, match="passphrase begins with") as caught:
        DepotSettings(url="sftp://host/depot", options={"passphrase": value})
    assert "geheim" not in caught.value.errors()[0]["msg"]


def test_references_are_followed_when_the_depot_is_opened(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("geheim")
    path.chmod(0o644)
    options: dict[str, str | float | bool] = {"token": f"file:{path}"}
    settings = DepotSettings(url=f"memory://{tmp_path}", options=options)
    with pytest.raises(BadInput, match=r"depot\.options\.token .*: others can read .*chmod 600"):
        open_depot(settings, ledger)
    path.chmod(0o600)
    forget_depots()
    assert open_depot(settings, ledger) is not None


def test_it_is_read_from_the_settings_file_and_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[depot]\nurl = "redis:"\nlimit_mib = 5\n')
    monkeypatch.setenv("JOBFERRY_CONFIG", str(path))
    assert (load_settings().depot.url, load_settings().depot.limit_mib) == ("redis:", 5)
    monkeypatch.setenv("JOBFERRY_DEPOT__URL", "/elsewhere")
    assert load_settings().depot.url == "file:///elsewhere"
    path.write_text("[depot]\nlimit_mb = 5\n")
    with pytest.raises(BadInput, match=r"config.toml: depot\.limit_mb.*limit_mib"):
        load_settings()
