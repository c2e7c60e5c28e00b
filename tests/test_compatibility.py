"""What holds for docs/compatibility.md: every row has a verdict and a test that exists; a defect one that names it."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from jobferry_common.models import kinds

TESTS: Final = Path(__file__).parent
PAGE: Final = (TESTS.parent / "docs/compatibility.md").read_text()
_NAMED: Final = re.compile(r"`([a-z_/]+\.py)::(test_\w+)`")
_VERDICTS: Final = ("**works**", "**better**", "**refused**")
ROWS: Final = [
    [cell.strip() for cell in line.strip("| ").split(" | ")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith(("| row |", "| what happens"))
]


@cache
def _tests(file: str) -> dict[str, str]:
    """Return the tests that are collected from a file, each with what its docstring says."""
    tree = ast.parse((TESTS / file).read_text())
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {node.name: ast.get_docstring(node) or "" for node in found}


@pytest.mark.parametrize("file", sorted({file for file, _ in _NAMED.findall(PAGE)}))
def test_every_test_that_it_names_exists(file: str) -> None:
    named = {name for path, name in _NAMED.findall(PAGE) if path == file}
    assert Path(file).name.startswith("test_")
    assert named <= _tests(file).keys()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_every_row_has_a_verdict_and_a_test(row: list[str]) -> None:
    _, verdict, tests = row
    assert verdict.startswith(_VERDICTS)
    assert _NAMED.findall(tests)


def _section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


DEFECTS: Final = [
    [cell.strip() for cell in line.strip("| ").split(" | ")]
    for line in _section("Defects that do not occur here").splitlines()
    if line.startswith("| ") and not line.startswith("| what happens")
]


@pytest.mark.parametrize("row", DEFECTS, ids=lambda row: row[0][:40])
def test_a_test_of_each_defect_names_it(row: list[str]) -> None:
    defect, _, tests = row
    said = [_tests(file)[name] for file, name in _NAMED.findall(tests)]
    assert any(_words(defect) in _words(docstring) for docstring in said)


def _words(text: str) -> str:
    return " ".join(text.replace("`", "").casefold().split())


@pytest.mark.parametrize(
    ("title", "names"), [("Batch types", kinds.BATCH_TYPES), ("Contexts", kinds.CONTEXTS)]
)
def test_every_name_has_a_row(title: str, names: tuple[str, ...]) -> None:
    told = set()
    for line in _section(title).splitlines():
        cells = line.split(" | ")
        if len(cells) > 1 and cells[0] != "| row":
            told |= set(re.findall(r"[A-Za-z_]+", cells[0]))
    assert set(names) <= told
