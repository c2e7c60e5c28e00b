"""What holds for README.md and docs/: links lead somewhere, commands exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from jobferry.cli.main import app

ROOT: Final = Path(__file__).parents[1]
PAGES: Final = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
)
_LINK: Final = re.compile(r"\[[^\]]*\]\(([^)#\s]*)(#[^)\s]*)?\)")


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ +(.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in _LINK.findall(page.read_text()):
        if "://" in target or target.startswith("mailto:"):
            continue
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), f"{page.name}: {target}"
        assert not anchor or anchor[1:] in _anchors(file), f"{page.name}: {target}{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_make_commands_exist(page: Path) -> None:
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"(?:`|^    )make ([a-z-]+)", page.read_text(), re.M))
    assert named <= known


def _commands(group: TyperGroup) -> set[str]:
    """Return what stands behind the name of a program: `status`, `cluster`, `cluster list`."""
    inner = {
        f"{name} {below}"
        for name, command in group.commands.items()
        if isinstance(command, TyperGroup)
        for below in command.commands
    }
    return {*group.commands, *inner}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_of_jobferry_exist(page: Path) -> None:
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    known = _commands(group)
    words = r"(?:`|^    |\$ )jobferry ((?:cluster )?[a-z]+)"
    assert set(re.findall(words, page.read_text(), re.M)) <= known


def test_the_readme_lists_every_command() -> None:
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    table = re.findall(r"^\| (.*`.*`) \|", (ROOT / "README.md").read_text(), re.M)
    shown = set(re.findall(r"`(?:jobferry )?([a-z]+)", " ".join(table)))
    assert set(group.commands) - shown == set()


def test_the_table_of_keys_is_the_ledgers() -> None:
    module = (ROOT / "common/jobferry_common/ledger/__init__.py").read_text()
    table = module[module.index("| key |") :].partition("\n\n")[0]
    assert table in (ROOT / "docs/architecture.md").read_text()
