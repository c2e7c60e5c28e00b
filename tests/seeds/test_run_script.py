"""`jobferry run script.py`: the script runs where its metadata says, with its own dependencies under `uv run`."""

from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobferry.cli.main import app

pytestmark = pytest.mark.needs("valkey", "uv")

SCRIPT = """\
# /// script
# requires-python = ">=3"
# dependencies = [{dependency}]
# [tool.{tool}]
# work_base = "./"
# forward_common_files=[]
# backward_common_files=[]
# [tool.{tool}.machine]
# batch_type = "Shell"
# local_root = "./"
# context_type = "{context}"
# remote_root = "remote"
# [tool.{tool}.resources]
# number_node = 1
# cpu_per_node = 1
# gpu_per_node = 0
# group_size = 0
# [[tool.{tool}.task_list]]
# command = "{command}"
# task_work_path = "{where}"
# forward_files = []
# backward_files = ["log"]
# ///
{body}
"""


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["run", "script.py", *arguments], prog_name="jobferry")
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def dependency(tmp_path: Path) -> str:
    """A package that only the script asks for."""
    wheel = tmp_path / "jfgreeting-1.0-py3-none-any.whl"
    info = "jfgreeting-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("jfgreeting.py", "TEXT = 'hello of the package'\n")
        metadata = "Metadata-Version: 2.1\nName: jfgreeting\nVersion: 1.0\n"
        archive.writestr(f"{info}/METADATA", metadata)
        tag = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(f"{info}/WHEEL", tag)
        archive.writestr(f"{info}/RECORD", "")
    return f'"jfgreeting @ {wheel.as_uri()}"'


@pytest.mark.parametrize("context", ["LazyLocalContext", "LocalContext"])
def test_uv_honours_what_the_script_depends_on(place: Path, dependency: str, context: str) -> None:
    from uv import find_uv_bin

    uv = f"{find_uv_bin()} run --offline --no-config --cache-dir {place}/cache --python {sys.executable}"
    body = "import jfgreeting\nprint(jfgreeting.TEXT)"
    text = SCRIPT.format(
        tool="dpdispatcher",
        dependency=dependency,
        context=context,
        command=uv,
        where="./",
        body=body,
    )
    (place / "script.py").write_text(text)
    run()
    assert (place / "log").read_text() == "hello of the package\n"


def test_the_documents_script_says_hello(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `uv run` as it stands there, and nothing that the script depends on."""
    from uv import find_uv_bin

    monkeypatch.setenv("PATH", f"{Path(find_uv_bin()).parent}:{os.environ['PATH']}")
    for name, value in {"OFFLINE": "1", "NO_CONFIG": "1", "PYTHON": sys.executable}.items():
        monkeypatch.setenv(f"UV_{name}", value)
    monkeypatch.setenv("UV_CACHE_DIR", str(place / "cache"))
    text = SCRIPT.format(
        tool="dpdispatcher",
        dependency="",
        context="LazyLocalContext",
        command="uv run",
        where="./",
        body='print("hello world!")',
    )
    (place / "script.py").write_text(text)
    run()
    assert (place / "log").read_text() == "hello world!\n"


def test_one_task_for_each_directory_of_a_pattern(place: Path) -> None:
    for number in range(3):
        (place / f"case{number}").mkdir()
    text = SCRIPT.format(
        tool="jobferry",
        dependency="",
        context="LocalContext",
        command=sys.executable,
        where="case*",
        body="import os\nprint(os.path.basename(os.getcwd()))",
    )
    (place / "script.py").write_text(text)
    assert "script.py" in run("--dry-run")
    assert not (place / "case0/log").exists()
    run("--no-clean")
    for number in range(3):
        assert (place / f"case{number}/log").read_text() == f"case{number}\n"
