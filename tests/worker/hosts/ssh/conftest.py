"""Fixtures of the tests of hosts behind ssh."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    """No agent of whoever runs the tests."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture
def ssh_home(home: Path) -> Path:
    """An empty ~/.ssh."""
    directory = home / ".ssh"
    directory.mkdir(mode=0o700)
    return directory
