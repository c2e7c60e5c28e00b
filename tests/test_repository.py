"""What holds for every file of the repository: layering, text, tools."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tests.testbed.layers import LAYERS, MINIMUM, layer_of
from tests.testbed.servers import SERVERS

ROOT: Final = Path(__file__).parents[1]
_PINNED: Final = re.compile(
    r"^[a-z0-9][a-z0-9.-]*==\S+( ; .+)? \\\n(    --hash=sha256:[0-9a-f]{64}( \\)?\n)+", re.M
)


@cache
def _files() -> tuple[Path, ...]:
    listing = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    done = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("this is no git repository: its own files cannot be told from others")
    return tuple(ROOT / name for name in sorted(done.stdout.split("\0")) if (ROOT / name).is_file())


def _texts() -> list[tuple[str, str]]:
    return [
        (path.relative_to(ROOT).as_posix(), path.read_text(errors="replace")) for path in _files()
    ]


def _sources() -> list[Path]:
    return [path for path in _files() if path.suffix == ".py"]


def test_imports_keep_to_the_layers() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_no_file_names_where_the_repository_is() -> None:
    """A path of one machine means nothing on another."""
    here = str(ROOT)
    assert [name for name, text in _texts() if here in text] == []


def test_every_module_says_what_it_is() -> None:
    silent = [path for path in _sources() if path.name != "__init__.py" or path.stat().st_size]
    assert [
        path for path in silent if not path.read_text().lstrip().startswith(('"""', 'r"""', "#!"))
    ] == []


def test_no_file_of_code_is_a_monster() -> None:
    long = {path.relative_to(ROOT): path.read_text().count("\n") for path in _sources()}
    assert {path: lines for path, lines in long.items() if lines > 400} == {}


def test_no_function_is_a_monster() -> None:
    assert {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": lines
        for path in _sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > 40
    } == {}


def test_constraints_are_pinned_with_hashes_and_name_no_address() -> None:
    text = (ROOT / "constraints.txt").read_text()
    rest = _PINNED.sub("", text)
    assert [line for line in rest.splitlines() if line and not line.startswith("#")] == []
    assert "://" not in text


def test_constraints_pin_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    names = {re.split(r"[\[<>=;! ]", line.lower())[0].replace("_", "-") for line in wanted}
    pinned = set(
        re.findall(r"^([a-z0-9][a-z0-9.-]*)==", (ROOT / "constraints.txt").read_text(), re.M)
    )
    assert names - pinned == set()


def test_every_layer_has_its_minimum() -> None:
    minimum = json.loads((ROOT / MINIMUM).read_text())
    assert set(minimum) == set(LAYERS)
    assert all(isinstance(number, int) for number in minimum.values())


@pytest.mark.parametrize(
    ("path", "layer"),
    [
        ("tests/common/test_names.py::test_x", "unit"),
        ("tests/test_repository.py::test_x", "unit"),
        ("tests/simulation/test_seeds.py::test_x[tests/services]", "simulation"),
        ("tests/services/test_slurm.py", "services"),
        ("tests/seeds/test_manual.py::test_x", "services"),
        ("benchmarks/run.py", "unit"),
    ],
)
def test_the_layer_of_a_test_is_its_folder(path: str, layer: str) -> None:
    assert layer_of(path) == layer


def test_tests_need_only_servers_that_the_testbed_knows() -> None:
    tests = [text for name, text in _texts() if name.startswith("tests/") and name.endswith(".py")]
    asked = {
        name
        for text in tests
        for call in re.findall(r"mark\.needs\(([^)]*)\)", text)
        for name in _names(call)
    }
    assert asked <= set(SERVERS)


def _names(arguments: str) -> list[str]:
    return re.findall(r'"(\w+)"', arguments)


def test_every_command_of_make_explains_itself() -> None:
    text = (ROOT / "Makefile").read_text()
    phony = re.findall(r"^\.PHONY: (.*)$", text, re.M)
    assert set(" ".join(phony).split()) == set(re.findall(r"^([a-z-]+):.*## ", text, re.M))


def test_shell_scripts_are_sound() -> None:
    scripts = [path for path in _files() if path.suffix == ".sh" or path.parent.name == ".ci"]
    assert scripts
    for path in scripts:
        subprocess.run(["bash", "-n", str(path)], check=True)
