"""HDFS as a storage: by its command, which is fake here, and through fsspec, whose local files stand in for it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import fsspec
import pytest

from jobferry_common.errors import CommandFailed, HostUnreachable
from jobferry_worker.bridge.books import Job
from jobferry_worker.bridge.hdfs import HdfsByCommand, HdfsByLibrary, hdfs_of
from jobferry_worker.hosts.local import LocalHost
from tests.fake import hadoop
from tests.fake.commands import env_with, install
from tests.fake.engine import Engine

if TYPE_CHECKING:
    from pathlib import Path

    from jobferry_worker.bridge.base import Storage

MINUTE = timedelta(minutes=1)
JOB = Job(id="jf.5e7-1.00", name="relax it", directory="/r", script="/r/s", log="/r/l", since=0.0)


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """A fake Hadoop on PATH."""
    engine = Engine(tmp_path / "cluster")
    install(tmp_path / "bin", hadoop.__name__, hadoop.COMMANDS, home=engine.home)
    monkeypatch.setenv("PATH", env_with(tmp_path / "bin")["PATH"])
    return engine


@pytest.fixture(params=["command", "library"])
def storage(request: pytest.FixtureRequest, engine: Engine, tmp_path: Path) -> Storage:
    """Each way to it; both keep their files in the same place here."""
    if request.param == "command":
        return HdfsByCommand(LocalHost(), "/user/ann/a root", MINUTE)
    return HdfsByLibrary(fsspec.filesystem("file"), str(engine.home / "hdfs/user/ann/a root"))


def test_an_archive_goes_there_and_a_result_comes_back(
    storage: Storage, engine: Engine, tmp_path: Path
) -> None:
    archive, result = tmp_path / "archive", tmp_path / "result"
    for content in ("first", "second"):  # of a try that was killed
        archive.write_text(content)
        storage.put(JOB, archive)
    place = engine.home / "hdfs/user/ann/a root" / JOB.id
    assert (place / "archive").read_text() == "second"
    assert not storage.get(JOB, result)
    (place / "result").write_text("done")
    result.write_text("of a try that was killed")
    assert storage.get(JOB, result)
    assert result.read_text() == "done"
    for _ in range(2):
        storage.delete(JOB)
    assert not place.exists()


def test_a_name_node_that_does_not_answer_is_not_a_missing_result(
    engine: Engine, tmp_path: Path
) -> None:
    storage = HdfsByCommand(LocalHost(), "/user/ann", MINUTE)
    said = "test: Call From here to namenode:8020 failed: java.net.ConnectException: Connection refused"
    engine.configure(**{"fault hadoop": said})
    with pytest.raises(CommandFailed, match="Connection refused"):
        storage.get(JOB, tmp_path / "result")
    with pytest.raises(CommandFailed, match="Connection refused"):
        storage.put(JOB, tmp_path / "result")


def test_a_missing_command_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    with pytest.raises(HostUnreachable, match="no command `hadoop`"):
        HdfsByCommand(LocalHost(), "/x", MINUTE).delete(JOB)


def test_a_library_that_fails_is_told_with_the_path(tmp_path: Path) -> None:
    storage = HdfsByLibrary(fsspec.filesystem("file"), str(tmp_path / "file"))
    (tmp_path / "file").write_text("no directory")
    (tmp_path / "archive").write_text("x")
    with pytest.raises(HostUnreachable, match=f"HDFS: {tmp_path}/file/{JOB.id}: "):
        storage.put(JOB, tmp_path / "archive")


def test_the_library_is_taken_only_where_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> None:
        msg = "Unable to load libhdfs"
        raise OSError(msg)

    monkeypatch.setattr(fsspec, "filesystem", broken)
    assert isinstance(hdfs_of(None, LocalHost(), "/x", MINUTE), HdfsByCommand)
    assert isinstance(hdfs_of("hadoop", LocalHost(), "/x", MINUTE), HdfsByCommand)
    with pytest.raises(HostUnreachable, match=r"expected jobferry\[hdfs\] and libhdfs"):
        hdfs_of("pyarrow", LocalHost(), "/x", MINUTE)
