"""What comes back over a bridge was made by a job: it is checked, and stays in its run's directory."""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobferry_common.errors import StagingError
from jobferry_common.scripts.cargo import Cargo
from jobferry_worker.bridge.books import Job
from jobferry_worker.bridge.packing import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Iterable

CONTROL = ".jobferry/5e7-1"


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A job with a cargo."""
    base = tmp_path / "root/5e7-1"
    batch = base / CONTROL / "batch"
    batch.mkdir(parents=True)
    (batch / "t.sh").write_text("#!/bin/bash\n")
    job = Job(
        id="jf.5e7-1.00",
        name="x",
        directory=str(base),
        script=str(batch / "t.sh"),
        log=str(base / CONTROL / "logs/t"),
        since=0.0,
    )
    _take(job, Cargo(control=CONTROL, files=(f"{CONTROL}/batch/t.sh",), trees=("task",)))
    return job


def _take(job: Job, cargo: Cargo) -> None:
    Path(job.script).with_suffix(".cargo").write_bytes(cargo.pack())


def _delivered(tmp_path: Path, members: Iterable[tarfile.TarInfo | tuple[str, str]]) -> Path:
    """Write a delivery: (name, content), or a member as it is."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for member in (("./exit", "3\n"), *members):
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            tar.addfile(info, io.BytesIO(member[1].encode()))
    digest = hashlib.sha256(archive.getvalue()).hexdigest()
    result = tmp_path / "result"
    result.write_bytes(f"jobferry-result {digest}\n".encode() + archive.getvalue())
    return result


def _unpacked(job: Job, tmp_path: Path, *members: tarfile.TarInfo | tuple[str, str]) -> int:
    work = tmp_path / "work"
    work.mkdir()
    return unpack(job, _delivered(tmp_path, members), work)


def test_a_job_takes_along_what_its_links_lead_to(job: Job, tmp_path: Path) -> None:
    base = Path(job.directory)
    (tmp_path / "data").write_text("far away\n")
    (base / "task/sub").mkdir(parents=True)
    (base / "task/in").symlink_to(tmp_path / "data")
    (base / "task/broken").symlink_to(tmp_path / "nothing")
    (base / "task/sub/up").symlink_to(base / "task")
    (base / "other").mkdir()
    digest = pack(job, tmp_path / "archive")
    assert digest == hashlib.sha256((tmp_path / "archive").read_bytes()).hexdigest()
    with tarfile.open(tmp_path / "archive") as tar:
        names = {member.name: member for member in tar}
        assert set(names) == {f"{CONTROL}/batch/t.sh", "task", "task/in", "task/sub"}
        content = tar.extractfile("task/in")
        assert content
        assert content.read() == b"far away\n"


def test_a_file_that_lacks_is_told(job: Job, tmp_path: Path) -> None:
    _take(job, Cargo(files=("common.dat",)))
    with pytest.raises(FileNotFoundError, match=r"common\.dat"):
        pack(job, tmp_path / "archive")


def test_results_take_their_places(job: Job, tmp_path: Path) -> None:
    base = Path(job.directory)
    (base / "task").mkdir()
    (base / "task/out").write_text("old\n")
    code = _unpacked(
        job,
        tmp_path,
        ("./5e7-1/task/out", "new\n"),
        ("./5e7-1/task/deep/er", "1\n"),
        (f"./5e7-1/{CONTROL}/records/0.1", "end\n"),
    )
    assert code == 3
    assert (base / "task/out").read_text() == "new\n"
    assert (base / "task/deep/er").read_text() == "1\n"
    assert (base / CONTROL / "records/0.1").read_text() == "end\n"


def test_of_jobferrys_own_files_only_records_marks_and_logs_are_taken(
    job: Job, tmp_path: Path
) -> None:
    names = ["claim/0.1", "batch/t.sh", "document/0", "runtime.sh", "done/0", "logs/t"]
    _unpacked(
        job,
        tmp_path,
        *((f"5e7-1/{CONTROL}/{name}", "evil\n") for name in names),
        ("5e7-1/.jobferry/5e7-2/records/0.1", "evil\n"),
        ("5e7-1/task/.jobferry/x", "evil\n"),
    )
    base = Path(job.directory)
    written = {str(path.relative_to(base)) for path in base.rglob("*") if path.is_file()}
    kept = {f"{CONTROL}/batch/t.sh", f"{CONTROL}/batch/t.cargo"}
    assert written == {*kept, f"{CONTROL}/done/0", f"{CONTROL}/logs/t"}
    assert (base / CONTROL / "batch/t.sh").read_text() == "#!/bin/bash\n"


def _link(name: str, to: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, to
    return member


def test_nothing_leaves_the_directory(job: Job, tmp_path: Path) -> None:
    before = {path for path in tmp_path.rglob("*") if "work" not in path.parts}
    fifo = tarfile.TarInfo("5e7-1/task/fifo")
    fifo.type = tarfile.FIFOTYPE
    _unpacked(
        job,
        tmp_path,
        ("5e7-1/../../outside", "evil\n"),
        ("../outside", "evil\n"),
        ("/tmp/jobferry-outside", "evil\n"),
        _link("5e7-1/task/absolute", "/etc/passwd"),
        _link("5e7-1/task/up", "../../../.."),
        _link("5e7-1/task/hard", "/etc/passwd", tarfile.LNKTYPE),
        fifo,
        ("other/file", "evil\n"),
        ("5e7-1/task/fine", "fine\n"),
    )
    base = Path(job.directory)
    after = {path for path in tmp_path.rglob("*") if "work" not in path.parts}
    assert after - before - {tmp_path / "result"} == {base / "task", base / "task/fine"}


def test_a_link_in_the_runs_directory_is_never_written_through(job: Job, tmp_path: Path) -> None:
    base, mine = Path(job.directory), tmp_path / "mine"
    mine.mkdir()
    (mine / "file").write_text("mine\n")
    (base / "link").symlink_to(mine / "file")
    (base / "task").symlink_to(mine)
    with pytest.raises(StagingError, match="leads to"):
        _unpacked(job, tmp_path, ("5e7-1/link", "new\n"), ("5e7-1/task/file", "evil\n"))
    assert (mine / "file").read_text() == "mine\n"
    assert (base / "link").read_text() == "new\n"


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "strange"])
def test_what_was_damaged_on_its_way_is_told(job: Job, tmp_path: Path, damage: str) -> None:
    result = _delivered(tmp_path, [("5e7-1/task/out", "new\n")])
    whole = result.read_bytes()
    result.write_bytes(
        {
            "cut": whole[:-10],
            "changed": whole[:-10] + b"0123456789",
            "empty": b"",
            "strange": b"<html>not found</html>",
        }[damage]
    )
    (tmp_path / "work").mkdir()
    with pytest.raises(StagingError, match="cut short or damaged"):
        unpack(replace(job), result, tmp_path / "work")
    assert not (Path(job.directory) / "task").exists()
