"""The files of examples/login-node: what they start is what the command line takes, and systemd and bash read them."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil
import pytest
from typer.testing import CliRunner

from jobferry.cli import serve
from jobferry.cli.main import app
from tests.testbed.processes import Process, run, wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT: Final = Path(__file__).parents[1]
EXAMPLES: Final = ROOT / "examples" / "login-node"
PAGE: Final = (ROOT / "docs" / "login-node.md").read_text()
UNIT: Final = EXAMPLES / "jobferry-worker.service"
SCRIPT: Final = EXAMPLES / "worker.sh"
#: how jobferry is run in those files; what follows are its arguments
_PROGRAM: Final = re.compile(
    r'(?:/bin/jobferry"?|"\$jobferry"|^    jobferry) ([a-z].*?)(?=$|\'| 9>|`)', re.MULTILINE
)


def commands(text: str) -> list[list[str]]:
    """Return the arguments of each jobferry in a text."""
    return [shlex.split(found) for found in _PROGRAM.findall(text)]


@pytest.mark.parametrize("file", [UNIT, SCRIPT], ids=lambda file: file.name)
def test_what_is_started_is_taken(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "config.toml"
    table = '[clusters.hpc1]\nbatch_type = "Slurm"\ncontext_type = "Local"\nremote_root = "/r"\n'
    settings.write_text(f'broker = "redis://broker.invalid"\n{table}')
    monkeypatch.setenv("JOBFERRY_CONFIG", str(settings))
    became: list[tuple[str, Sequence[str]]] = []
    monkeypatch.setattr(serve, "_become", lambda program, argv: became.append((program, argv)))
    (arguments,) = commands(file.read_text())
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    ((program, argv),) = became
    assert program == "worker"
    assert {"--queues=jobferry.hpc1", "--beat"} <= set(argv)


def test_the_commands_of_the_page_are_there() -> None:
    found = commands(PAGE)
    assert ["worker", "--cluster", "hpc1", "--beat"] in found
    for arguments in found:
        words = [word for word in arguments if not word.startswith("-")]
        group = words[:2] if words[0] == "cluster" else words[:1]
        assert CliRunner().invoke(app, [*group, "--help"]).exit_code == 0, arguments


def test_what_is_typed_on_the_login_node_is_found_there_and_finds_the_broker() -> None:
    assert not re.search(r"^    jobferry ", PAGE, re.MULTILINE), "it is on no PATH there"
    blocks = re.findall(r"(?:^    .*\n)+", PAGE, re.MULTILINE)
    asking = [block for block in blocks if "bin/jobferry " in block]
    assert len(asking) >= 3
    for block in asking:
        assert block.startswith("    set -a; . ~/.config/jobferry/environment; set +a\n")


def test_the_page_shows_the_lines_of_the_crontab() -> None:
    lines = [line for line in (EXAMPLES / "crontab").read_text().splitlines() if line[0] != "#"]
    assert len(lines) == 2
    for line in lines:
        assert f"    {line}\n" in PAGE
        assert re.match(r"(@reboot|\*/10( \*){4}) +\$HOME/\.local/jobferry/worker\.sh ", line)
    assert "examples/login-node/worker.sh ~/.local/jobferry/" in PAGE


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing")
def test_systemd_understands_the_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    done = run(["systemd-analyze", "--user", "verify", str(UNIT)])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.fixture
def worker(home: Path) -> Path:
    """A stand-in for the installed command: it tells of its start, and ends with what stands in a file."""
    program = home / ".local" / "jobferry" / "bin" / "jobferry"
    program.parent.mkdir(parents=True)
    text = '#!/bin/sh\necho "$@ $GIVEN" >> ~/starts\ntest -e ~/code && exit "$(cat ~/code)"\nexec sleep 600\n'
    program.write_text(text)
    program.chmod(0o755)
    (home / ".config" / "jobferry").mkdir(parents=True)
    (home / ".config" / "jobferry" / "environment").write_text("GIVEN='a $b'\n")
    return home


def test_the_script_starts_one_worker_and_takes_it_along(worker: Path) -> None:
    first = Process([str(SCRIPT)], log=worker / "log")
    try:
        starts = worker / "starts"
        wait_until(starts.exists, "it starts")
        second = run([str(SCRIPT)])
        assert (second.returncode, second.stderr) == (0, "a worker runs here already\n")
    finally:
        first.stop()
    assert starts.read_text() == "worker --cluster hpc1 --beat a $b\n"
    assert not [process for process in psutil.process_iter() if _is_of(process, worker)]


def _is_of(process: psutil.Process, home: Path) -> bool:
    try:
        return process.environ().get("HOME") == str(home)
    except psutil.Error:
        return False


def test_wrong_settings_end_the_script(worker: Path) -> None:
    (worker / "code").write_text("2")
    assert run([str(SCRIPT)]).returncode == 2


def test_a_worker_that_ended_itself_is_started_again(worker: Path) -> None:
    (worker / "code").write_text("75")
    script = Process([str(SCRIPT)], log=worker / "log")
    try:
        starts = worker / "starts"
        wait_until(starts.exists, "it starts")
        wait_until(lambda: len(starts.read_text().splitlines()) > 1, "it starts again")
    finally:
        script.stop()
