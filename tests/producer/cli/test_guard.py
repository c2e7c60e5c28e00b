"""Errors on the command line: one message on stderr, an exit code, never a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobferry.cli import guard
from jobferry_common.errors import (
    BadInput,
    BrokerUnreachable,
    JobferryError,
    Problem,
    UnknownId,
    WorkFailed,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.producer.cli.conftest import Done

BIN = Path(sys.executable).with_name("jobferry")


def fail(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let every connection fail."""

    def connect(**_: object) -> None:
        raise error

    monkeypatch.setattr("jobferry.client.connect", connect)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadInput([Problem("a.json: x", "is wrong")]), 2),
        (UnknownId("no such run"), 2),
        (WorkFailed("it failed"), 1),
        (BrokerUnreachable("it is away"), 3),
    ],
)
def test_errors_become_a_message_and_an_exit_code(
    jobferry: Callable[..., Done], monkeypatch: pytest.MonkeyPatch, error: JobferryError, code: int
) -> None:
    fail(monkeypatch, error)
    done = jobferry("status")
    assert (done.code, done.out, done.err) == (code, "", f"jobferry: {error}\n")


def test_a_message_of_many_lines_is_indented(
    jobferry: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, BadInput([Problem("a", "one"), Problem("b", "two")], "fix both"))
    assert jobferry("status").err == "jobferry: a: one\n  b: two\n  fix both\n"


def test_an_unexpected_error_is_one_line_and_how_to_see_more(
    jobferry: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, RuntimeError("boom\nand more"))
    done = jobferry("status")
    assert done.code == 1
    assert done.err.splitlines()[0] == "jobferry: unexpected RuntimeError: boom"
    assert "jobferry --debug" in done.err
    assert "Traceback" not in done.err


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def act() -> None:
        raise UnknownId("x")  # noqa: EM101

    monkeypatch.setenv("JOBFERRY_DEBUG", "1")
    with pytest.raises(UnknownId):
        guard.guarded(act, debug=True)


def test_an_interrupt_is_130(
    jobferry: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, KeyboardInterrupt())
    assert jobferry("status").code == 130


@pytest.mark.parametrize("arguments", [["stats"], ["status", "--jsn"], ["submit"], ["cancel"]])
def test_wrong_usage_is_2(jobferry: Callable[..., Done], arguments: list[str]) -> None:
    done = jobferry(*arguments)
    assert done.code == 2
    assert done.out == ""
    assert "Usage: jobferry" in done.err


def test_settings_that_are_wrong_are_told(
    jobferry: Callable[..., Done], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text("brokr = 'redis://x'\n[timings]\nlook_seconds = -1\n")
    monkeypatch.setenv("JOBFERRY_CONFIG", str(config))
    done = jobferry("status")
    assert done.code == 2
    assert "did you mean 'broker'" in done.err
    assert "timings.look_seconds" in done.err


_ASKS_THE_BROKER = """
    status, watch x, logs x, cancel x, retry x, fetch x, clean x, events, events x --follow, events --follow,
    cluster list, cluster show x, cluster test x
"""


@pytest.mark.timeout(60)
@pytest.mark.parametrize("command", _ASKS_THE_BROKER.split(","))
def test_a_broker_that_is_away_is_3(
    jobferry: Callable[..., Done],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    command: str,
) -> None:
    monkeypatch.setenv("JOBFERRY_BROKER", f"redis+socket://{tmp_path}/none.sock")
    done = jobferry(*command.split())
    assert done.code == 3
    assert done.out == ""
    assert "does not answer" in done.err


def test_for_the_doctor_too_a_broker_that_is_away_is_3(
    jobferry: Callable[..., Done], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("JOBFERRY_BROKER", f"redis+socket://{tmp_path}/none.sock")
    done = jobferry("doctor")
    assert done.code == 3
    assert "FAILED  broker" in done.out
    last = jobferry("doctor", "--json").json[-1]
    assert (last["ok"], last["name"]) == (False, "broker")


def test_the_installed_command_leaves_no_traceback_when_interrupted(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import jobferry.client, time\n"
        "def connect(**_):\n    print('waiting', flush=True)\n    time.sleep(60)\n"
        "jobferry.client.connect = connect\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with subprocess.Popen(
        [BIN, "status"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
