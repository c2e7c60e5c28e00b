"""Which server an embedded stack takes: a program that is too old would never serve."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobferry.stack.home import Home
from jobferry.stack.server import server_argv


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory on PATH."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    return directory


def install(directory: Path, name: str, says: str) -> str:
    """Put a server there that can tell its version."""
    program = directory / name
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    return str(program)


def taken(home: Home) -> str:
    return server_argv(home)[0]


@pytest.fixture
def stack(short_path: Path) -> Home:
    return Home.at(short_path / "s")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("redis-server", "Redis server v=6.0.16 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64"),
        ("redis-server", "Redis server v=5.0.3"),
        ("valkey-server", "Valkey server v=7.2.5 sha=00000000:0 malloc=libc bits=64"),
        ("redis-server", "error while loading shared libraries"),
    ],
)
def test_a_server_that_is_too_old_is_passed_over(
    stack: Home, programs: Path, name: str, says: str
) -> None:
    old = install(programs, name, says)
    assert Path(taken(stack)).name == "valkey-server"
    assert taken(stack) != old


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("redis-server", "Redis server v=6.2.0 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64"),
        ("redis-server", "Valkey server v=8.0.1 sha=00000000:0 malloc=libc bits=64"),
    ],
)
def test_one_that_is_new_enough_is_taken(stack: Home, programs: Path, name: str, says: str) -> None:
    install(programs, "valkey-server", "Valkey server v=7.2.5")
    good = install(programs, name, says)
    assert taken(stack) == good


def test_the_server_that_made_the_data_is_taken_again_unless_it_is_too_old(
    stack: Home, programs: Path
) -> None:
    first = install(programs, "redis-server", "Redis server v=7.0.15")
    assert taken(stack) == first
    newer = install(programs, "valkey-server", "Valkey server v=8.1.0")
    assert taken(stack) == first
    install(programs, "redis-server", "Redis server v=6.0.16")
    assert taken(stack) == newer
