"""A secret that cannot be had is a login that cannot be: it is told as one, and tried again as one."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from jobferry_common.errors import LoginRefused
from jobferry_common.ssh import secrets


def test_a_secret_that_cannot_be_had_refuses_the_login(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = SecretStr("env:HPC1_PASSWORD")
    with pytest.raises(LoginRefused, match="the environment of the worker has no variable HPC1"):
        secrets.read(reference, "password")
    monkeypatch.setenv("HPC1_PASSWORD", "geheim")
    assert secrets.read(reference, "password") == "geheim"
    assert secrets.read(SecretStr("geheim: 1"), "password") == "geheim: 1"
