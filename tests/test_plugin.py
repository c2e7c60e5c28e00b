"""The plugin of the testbed, in a small project of its own."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.testbed.processes import run

if TYPE_CHECKING:
    import subprocess

ROOT: Final = Path(__file__).parents[1]
_CONFIG: Final = """\
[pytest]
testpaths = tests
addopts = -p xdist.plugin -p pytest_rerunfailures -p tests.testbed.plugin -p no:cacheprovider
markers = needs(server): a server
"""
_GOOD: Final = "def test_good() -> None: pass\n"
_FLAKY: Final = """\
from pathlib import Path
def test_flaky() -> None:
    mark = Path(__file__).with_name("mark")
    ran = mark.exists()
    mark.touch()
    assert ran
"""
_NEEDY: Final = """\
import pytest
@pytest.mark.needs("compose")
def test_needy() -> None: pass
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text(_CONFIG)
    for name, text in {"common": _GOOD, "services": _GOOD}.items():
        folder = tmp_path / "tests" / name
        folder.mkdir(parents=True)
        (folder / f"test_{name}.py").write_text(text)
    (tmp_path / "tests/minimum.json").write_text(json.dumps({"unit": 1, "services": 1}))
    return tmp_path


def _pytest(
    project: Path, *arguments: str, required: bool = False, path: str | None = None
) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path or os.environ["PATH"]}
    env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    env["JOBFERRY_TESTBED"] = "required" if required else ""
    return run([sys.executable, "-m", "pytest", *arguments], env=env, cwd=project)


def _line(done: subprocess.CompletedProcess[str], layer: str) -> list[str]:
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith(f"{layer} ")]
    return lines[0][1:]


@pytest.mark.parametrize("spread", [(), ("-n", "2")], ids=["alone", "spread"])
def test_the_summary_counts_each_layer(project: Path, spread: tuple[str, ...]) -> None:
    done = _pytest(project, *spread)
    assert done.returncode == 0, done.stdout
    assert _line(done, "unit") == ["1", "ran", "0", "failed", "0", "skipped"]
    assert _line(done, "services") == ["1", "ran", "0", "failed", "0", "skipped"]


def test_layers_can_be_chosen(project: Path) -> None:
    done = _pytest(project, "--layer", "services")
    assert "1 passed" in done.stdout
    assert "unit " not in done.stdout


def test_a_test_that_ran_twice_is_named(project: Path) -> None:
    (project / "tests/services/test_flaky.py").write_text(_FLAKY)
    done = _pytest(project, "--reruns", "1", "-n", "2")
    assert done.returncode == 0, done.stdout
    assert _line(done, "services") == [
        "2",
        "ran",
        "0",
        "failed",
        "0",
        "skipped",
        "1",
        "run",
        "twice",
    ]
    assert "RUN TWICE: tests/services/test_flaky.py::test_flaky" in done.stdout


def test_a_missing_server_is_named_with_what_brings_it(project: Path) -> None:
    (project / "tests/services/test_needy.py").write_text(_NEEDY)
    done = _pytest(project, path="/nonexistent")
    if "docker-compose" not in done.stdout:
        pytest.skip("the compose client stands in one of the directories of system commands")
    assert done.returncode == 0
    assert "skipped 1: compose is missing here (docker-compose): `make testbed`" in done.stdout


def test_a_missing_server_fails_where_the_testbed_is_required(project: Path) -> None:
    (project / "tests/services/test_needy.py").write_text(_NEEDY)
    done = _pytest(project, required=True, path="/nonexistent")
    if "docker-compose" not in done.stdout:
        pytest.skip("the compose client stands in one of the directories of system commands")
    assert done.returncode == 1


def test_too_few_tests_fail_where_the_testbed_is_required(project: Path) -> None:
    (project / "tests/minimum.json").write_text(json.dumps({"unit": 1, "services": 2}))
    assert _pytest(project).returncode == 0
    done = _pytest(project, "-n", "2", required=True)
    assert done.returncode == 1
    assert "TOO FEW: services: 1 tests ran, tests/minimum.json wants 2 at least" in done.stdout


def test_a_part_of_the_tests_may_be_few(project: Path) -> None:
    (project / "tests/minimum.json").write_text(json.dumps({"unit": 5, "services": 5}))
    assert _pytest(project, "tests/common", required=True).returncode == 0
    assert _pytest(project, "-k", "good", required=True).returncode == 0
    assert _pytest(project, required=True).returncode == 1
