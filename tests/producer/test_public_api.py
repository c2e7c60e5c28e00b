"""The names that users import, and how long it takes."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

import jobferry

NAMES = [
    "AmbiguousId",
    "BadInput",
    "BrokerUnreachable",
    "Client",
    "Conflict",
    "Failure",
    "Handle",
    "Job",
    "JobStatus",
    "JobferryError",
    "Machine",
    "OnFailure",
    "Resources",
    "Result",
    "Rule",
    "Submission",
    "Task",
    "UnknownId",
    "WorkFailed",
    "__version__",
    "connect",
    "info",
    "submit_many",
]


def test_the_public_names_are_these() -> None:
    assert jobferry.__all__ == NAMES
    assert dir(jobferry) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_there_and_says_what_it_is(name: str) -> None:
    assert getattr(jobferry, name).__doc__


def test_it_says_which_version_it_is_and_what_it_stands_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert jobferry.__version__ == version("jobferry")
    jobferry.info()
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith(f"jobferry {jobferry.__version__} in ")
    assert f"pydantic {version('pydantic')}" in told


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="submision"):
        getattr(jobferry, "submision")  # noqa: B009


def test_importing_it_loads_nothing_heavy() -> None:
    code = (
        "import sys, jobferry, jobferry.cli.main;"
        "print(sorted({'redis', 'pydantic', 'celery', 'kombu', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
