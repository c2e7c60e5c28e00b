"""Where things lie."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobferry_common.names import AttemptKey, RunId, Token
from jobferry_common.scripts.layout import Layout, id_file, parse_hint, spool
from tests.common.scripts.workbench import RUN, header_of, resources_of

HEADER = header_of(resources_of(), 3)


def test_a_run_has_a_directory_of_its_own_under_the_root() -> None:
    layout = Layout.of(HEADER, RUN, "/scratch", "1f")
    assert layout.base == f"/scratch/{RUN}"
    assert layout.control == f"/scratch/{RUN}/.jobferry/{RUN}"
    assert layout.script(Token("jf.x")) == f"{layout.control}/batch/jf.x.sh"
    assert layout.record(AttemptKey(7, 2)) == f"{layout.control}/records/7.2"


def test_in_place_a_run_works_in_the_producers_directory() -> None:
    layout = Layout.of(replace(HEADER, in_place=True), RUN, "/home/alice", "1f")
    assert layout.base == "/home/alice/work"
    assert layout.control == f"/home/alice/work/.jobferry/{RUN}"
    assert (
        layout.spool == spool("/home/alice", "1f", "hpc1") == "/home/alice/.jobferry/spool/1f/hpc1"
    )
    assert layout.id_file == id_file("/home/alice") == "/home/alice/.jobferry/id"


def test_equal_commands_have_one_file() -> None:
    layout = Layout.of(HEADER, RUN, "/scratch", "1f")
    assert layout.command("a") == layout.command("a") != layout.command("a ")


def test_a_hint_tells_its_attempt() -> None:
    layout = Layout.of(HEADER, RUN, "/scratch", "1f")
    name = layout.hint(AttemptKey(17, 3)).rpartition("/")[2]
    assert parse_hint(name) == (RUN, AttemptKey(17, 3))


@pytest.mark.parametrize(
    "name", ["", "x", "a.1", "a.b.c", "a.1.2.3", ".a.1.2", "a.1.2\n", "a.1.-2", "a.١.2"]
)
def test_what_is_no_hint_is_passed_over(name: str) -> None:
    assert parse_hint(name) is None


def test_hints_of_long_names_are_read() -> None:
    assert parse_hint("5e7-12.0.1") == (RunId("5e7-12"), AttemptKey(0, 1))
