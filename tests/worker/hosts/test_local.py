"""LocalHost: commands what only it can be asked, as its children are ours and its files at hand."""

from __future__ import annotations

import errno
import os
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobferry_common.errors import StagingError
from jobferry_common.files import NewFile
from jobferry_worker.hosts import LocalHost
from jobferry_worker.hosts.local import inherited
from jobferry_worker.hosts.streams import TIMED_OUT
from tests.testbed.processes import lives

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = timedelta(seconds=60)
SHORT = timedelta(seconds=0.3)


@pytest.fixture
def host() -> LocalHost:
    return LocalHost()


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_limit_holds_without_the_timeout_command(
    monkeypatch: pytest.MonkeyPatch, host: LocalHost
) -> None:
    monkeypatch.setattr("jobferry_worker.hosts.local._SLACK_SECONDS", 0.0)
    monkeypatch.setattr("jobferry_worker.hosts.local._KILL_AFTER_SECONDS", 0)
    host._timeout = None
    done = host.run(("bash", "-c", "echo begun; sleep 600 & wait"), limit=SHORT)
    assert (done.exit_code, done.stdout) == (TIMED_OUT, "begun\n")


def test_the_limit_ends_a_command_whose_worker_was_killed(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    code = (
        "from datetime import timedelta\n"
        "from jobferry_worker.hosts import LocalHost\n"
        f"LocalHost().run(('bash', '-c', 'echo $$ > {mark}; exec sleep 600'), limit=timedelta(seconds=2))\n"
    )
    worker = os.posix_spawn(sys.executable, [sys.executable, "-c", code], os.environ)
    until(lambda: mark.exists() and mark.read_text() != "")
    os.kill(worker, 9)
    os.waitpid(worker, 0)
    pid = int(mark.read_text())
    until(lambda: not lives(pid))


def test_what_belongs_to_the_worker_is_not_inherited() -> None:
    environment = {
        "PATH": "/bin",
        "SLURM_CONF": "/etc/slurm.conf",
        "JOBFERRY_BROKER": "redis://:secret@host",
        "CELERY_BROKER_URL": "redis://:secret@host",
        "BROKER_URL": "redis://:secret@host",
        "REDISCLI_AUTH": "secret",
    }
    assert inherited(environment) == {"PATH": "/bin", "SLURM_CONF": "/etc/slurm.conf"}


def test_create_works_where_there_are_no_hard_links(
    monkeypatch: pytest.MonkeyPatch, host: LocalHost, tmp_path: Path
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    file = NewFile(path=str(tmp_path / "claim"), content=b"mine")
    assert host.create([file]) == [True]
    assert host.create([file]) == [False]
    assert [path.name for path in tmp_path.iterdir()] == ["claim"]


def test_a_full_disk_is_reported_with_the_path_and_the_next_step(
    monkeypatch: pytest.MonkeyPatch, host: LocalHost, tmp_path: Path
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("jobferry_worker.hosts.local._write_all", full)
    path = str(tmp_path / "file")
    with pytest.raises(StagingError, match=r"No space left on device .*free some space") as caught:
        host.write([NewFile(path=path, content=b"x")])
    assert path in str(caught.value)
    assert list(tmp_path.iterdir()) == []
