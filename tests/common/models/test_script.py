"""What a script says of itself: where it stands, whose table it is, what it may refer to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from jobferry_common.errors import BadInput
from jobferry_common.models.script import metadata, read_script

if TYPE_CHECKING:
    from pathlib import Path

TABLE = """\
[tool.jobferry]
work_base = "work"
forward_common_files = ["graph.pb"]
backward_common_files = ["all.log"]
[tool.jobferry.machine]
batch_type = "Shell"
local_root = "./"
context_type = "LazyLocalContext"
retry_count = 1
[tool.jobferry.resources]
number_node = 1
cpu_per_node = 2
gpu_per_node = 0
group_size = 0
[[tool.jobferry.task_list]]
task_work_path = "case*"
[[tool.jobferry.task_list]]
command = "uv run"
task_work_path = "./"
forward_files = ["in"]
backward_files = ["log"]
"""


def script(folder: Path, table: str) -> Path:
    """Return a script with this metadata."""
    comment = "\n".join(f"# {line}".rstrip() for line in table.splitlines())
    file = folder / "script.py"
    file.write_text(f"#!/usr/bin/env python\n# /// script\n{comment}\n# ///\nprint('hello')\n")
    return file


@pytest.mark.parametrize("tool", ["jobferry", "dpdispatcher"])
def test_all_keys_are_read_from_either_table(tool: str, tmp_path: Path) -> None:
    found = read_script(script(tmp_path, TABLE.replace("tool.jobferry", f"tool.{tool}")))
    assert found.machine is not None
    assert (found.machine.in_place, found.machine.retry_count) == (True, 1)
    assert (found.work_base, found.resources.cpu_per_node) == ("work", 2)
    assert [task.command for task in found.task_list] == ["python", "uv run"]
    assert list(found.forward_common_files) == ["graph.pb"]


def test_the_work_base_is_the_working_directory_unless_it_is_said(tmp_path: Path) -> None:
    found = read_script(script(tmp_path, TABLE.replace('work_base = "work"\n', "")))
    assert found.work_base == "./"


def test_both_tables_are_one_too_many(tmp_path: Path) -> None:
    both = f"[tool.dpdispatcher]\nwork_base = 'w'\n{TABLE}"
    with pytest.raises(BadInput, match=r"script\.py: tool: holds both jobferry and dpdispatcher"):
        read_script(script(tmp_path, both))


def test_no_table_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"expected a table \[tool.jobferry\]"):
        read_script(script(tmp_path, 'dependencies = ["numpy"]'))


def test_faults_are_told_by_their_paths(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"tool\.jobferry: resources.*gruop_size.*'group_size'"):
        read_script(script(tmp_path, TABLE.replace("group_size", "gruop_size")))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("print(1)\n", "holds no line"),
        ("# /// script\n# a = 1\nprint(1)\n# ///\n", "without an end"),
        ("# /// script\n# ///\n\n# /// script\n# ///\n", "more than once"),
        ("print(1)\n# /// script\n# a = ?\n# ///\n", "is no TOML: .*line 3"),
        ("# /// script\n# tool = 1\n# ///\n", "tool: expected tables, got 1"),
    ],
)
def test_metadata_that_is_none_is_told(text: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "script.py"
    file.write_text(text)
    with pytest.raises(BadInput, match=told):
        read_script(file)


@pytest.mark.parametrize("character", ["\u2028", "\x0c", "\x85"])
def test_a_line_ends_where_pep_723_says(character: str) -> None:
    text = f"x = '{character}'\n# /// script\n# # a{character}b\n# c = 1\n# ///\n"
    assert metadata(text) == f"# a{character}b\nc = 1"


def test_metadata_ends_with_the_last_closing_line_of_its_comment() -> None:
    text = "# /// script\n# a = '''\n# ///\n#\n# '''\n# ///\nprint()\n# ///\n"
    assert metadata(text) == "a = '''\n///\n\n'''"


def referring(folder: Path, name: str) -> Path:
    table = TABLE[: TABLE.index("[tool.jobferry.machine]")] + (
        f'machine = {{"$ref" = "{name}"}}\n' + TABLE[TABLE.index("[tool.jobferry.resources]") :]
    )
    return script(folder, table)


MACHINE = '{"batch_type": "Shell", "context_type": "LazyLocal", "local_root": "."}'


def test_a_reference_is_refused_unless_it_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "machine.json").write_text(MACHINE)
    file = referring(tmp_path, "machine.json")
    with pytest.raises(BadInput, match="--allow-ref"):
        read_script(file)
    assert read_script(file, allow_ref=True).machine is not None


def test_a_reference_that_no_file_can_have_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"'m\\x00\.json'"):
        read_script(referring(tmp_path, r"m\u0000.json"), allow_ref=True)


@pytest.mark.parametrize("name", ["../machine.json", "link.json", "/etc/hostname"])
def test_a_reference_stays_below_the_scripts_directory(name: str, tmp_path: Path) -> None:
    (tmp_path / "machine.json").write_text(MACHINE)
    home = tmp_path / "home"
    home.mkdir()
    (home / "link.json").symlink_to(tmp_path / "machine.json")
    with pytest.raises(BadInput, match="lies outside"):
        read_script(referring(home, name), allow_ref=True)


def test_a_reference_to_what_is_no_file_or_too_large_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(BadInput, match="is no regular file"):
        read_script(referring(tmp_path, "pipe.json"), allow_ref=True)
    (tmp_path / "large.json").write_text(MACHINE + " " * (1 << 20))
    with pytest.raises(BadInput, match="expected at most"):
        read_script(referring(tmp_path, "large.json"), allow_ref=True)


def test_references_in_a_circle_or_without_number_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"$ref": "b.json"}')
    (tmp_path / "b.json").write_text('{"x": {"$ref": "a.json"}}')
    with pytest.raises(BadInput, match="leads in a circle"):
        read_script(referring(tmp_path, "a.json"), allow_ref=True)
    for number in range(12):
        one = f'{{"$ref": "n{number + 1}.json"}}'
        (tmp_path / f"n{number}.json").write_text(f'{{"x": {one}, "y": {one}}}')
    (tmp_path / "n12.json").write_text("{}")
    with pytest.raises(BadInput, match="more than 1,000 references"):
        read_script(referring(tmp_path, "n0.json"), allow_ref=True)
