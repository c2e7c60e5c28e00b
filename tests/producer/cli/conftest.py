"""Fixtures for tests of the command line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from jobferry.cli.main import app

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jobferry.client import Client


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """All of stdout as one JSON document."""
        return json.loads(self.out)

    @property
    def json_lines(self) -> list[Any]:
        """Each line of stdout as a JSON document."""
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def jobferry() -> Callable[..., Done]:
    """Run a command in this process: `jobferry("status", "--json")`."""

    def run(*arguments: str) -> Done:
        result = CliRunner().invoke(app, list(arguments), prog_name="jobferry")
        return Done(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def file(work: Path, client: Client) -> Path:
    """A submission of two tasks for the client's broker."""
    assert client.settings.broker
    data = {
        "work_base": "work",
        "name": "greetings",
        "machine": {
            "batch_type": "Shell",
            "context_type": "Local",
            "local_root": ".",
            "remote_root": "remote",
        },
        "resources": {"group_size": 1},
        "task_list": [
            {"command": "cat in > out", "task_work_path": name, "forward_files": ["in"]}
            for name in ("a", "b")
        ],
    }
    path = work / "submission.json"
    path.write_text(json.dumps(data))
    return path
