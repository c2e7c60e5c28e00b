"""Whose stack it is, and whether it lives: told by a lock, and never by a pid of another host."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from jobferry import stack
from jobferry.stack.home import Home
from jobferry.stack.record import Record, held, is_alive, read_record, refuse_elsewhere
from jobferry_common.errors import BrokerUnreachable
from jobferry_common.settings import Settings, Stack

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def settings(short_path: Path) -> Settings:
    return Settings(stack=Stack(directory=short_path / "s", start_seconds=30))


def test_a_lock_tells_life_and_the_kernel_takes_it_away(settings: Settings) -> None:
    home = Home.of(settings)
    assert not is_alive(home)
    program = (
        "import fcntl, sys; file = open(sys.argv[1], 'w'); fcntl.flock(file, fcntl.LOCK_EX); "
        "print('held', flush=True); sys.stdin.read()"
    )
    argv = [sys.executable, "-c", program, str(home.alive)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        assert is_alive(home)
        process.kill()
        process.wait()
    assert not is_alive(home)


def test_a_lock_that_is_not_to_be_had_is_told(settings: Settings) -> None:
    home = Home.of(settings)
    with (
        held(home.lock, patience_seconds=0, what="first"),
        pytest.raises(BrokerUnreachable, match="somebody is busy"),
        held(home.lock, patience_seconds=0.05, what="somebody is busy"),
    ):
        pytest.fail("both hold it")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"host": 1, "more": 2}'])
def test_a_record_that_cannot_be_read_is_none(settings: Settings, text: str) -> None:
    home = Home.of(settings)
    home.record.write_text(text)
    assert read_record(home) is None


def test_on_another_host_every_command_refuses_and_says_where_it_runs(settings: Settings) -> None:
    home = Home.of(settings)
    Record(host="login7", pid=os.getpid()).write(home)
    with pytest.raises(BrokerUnreachable, match=r"runs on login7 \(pid .*jobferry down"):
        stack.ensure_broker(settings)
    with pytest.raises(BrokerUnreachable, match="login7"):
        stack.down(settings)
    status = stack.status(settings)
    assert (status.runs, status.host, status.url) == (False, "login7", None)
    assert "login7" in str(status)
    assert read_record(home) is not None


def test_on_this_host_a_record_without_a_process_is_stale(settings: Settings) -> None:
    home = Home.of(settings)
    record = Record(pid=1)
    assert record.host == socket.gethostname()
    record.write(home)
    refuse_elsewhere(home, read_record(home))
    assert not stack.status(settings).runs
    assert stack.status(settings).started is None
