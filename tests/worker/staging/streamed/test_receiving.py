"""Streamed: results on their way back."""

from __future__ import annotations

import io
import os
import shutil
import stat
import tarfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.errors import StagingError
from jobferry_common.schedulers.base import Completed
from jobferry_worker.staging.base import is_passing
from tests.worker.staging.places import task
from tests.worker.staging.streamed.far import FarPlace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobferry_worker.hosts.base import Output

MIB = os.urandom(1 << 20)
#: where more than 32 bits are needed
EDGE = 4 << 30


@pytest.fixture
def place(tmp_path: Path) -> FarPlace:
    return FarPlace(tmp_path)


class Streams:
    """Counts the streams of a host, and may put another in the place of the real one."""

    def __init__(self, place: FarPlace, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        self.spoil: Any = None
        real = place.host.output

        @contextmanager
        def output(*words: Any, stdin: bytes = b"", **more: Any) -> Iterator[Output]:
            self.names += [name.decode() for name in stdin.split(b"\0") if name]
            with real(*words, stdin=stdin, **more) as found:
                yield self.spoil(found) if self.spoil else found

        monkeypatch.setattr(place.host, "output", output)


@pytest.fixture
def streams(place: FarPlace, monkeypatch: pytest.MonkeyPatch) -> Streams:
    return Streams(place, monkeypatch)


def test_all_results_come_in_one_stream(place: FarPlace, streams: Streams) -> None:
    """A defect of DPDispatcher: a full remote listing for each download."""
    tasks = [task(f"t{number}", backward=("out*", "d")) for number in range(300)]
    for one in tasks:
        place.put(place.base / one.path / "out1", one.path)
        place.put(place.base / one.path / "d" / "x", one.path)
    assert place.collect(*tasks) == []
    assert len(streams.names) == 600
    assert (place.source / "t299" / "d" / "x").read_text() == "t299"


def test_what_is_here_already_does_not_come_again(place: FarPlace, streams: Streams) -> None:
    for name in ("a", "b", "c"):
        place.put(place.base / "t" / name, f"of {name}")
    place.collect(task(backward=("*",)))
    streams.names.clear()
    place.put(place.base / "t" / "b", "of B")
    place.collect(task(backward=("*",)))
    assert streams.names == ["./t/b"]
    assert (place.source / "t" / "b").read_text() == "of B"


@pytest.fixture(params=[True, False], ids=["openssl", "sha256sum"])
def makers(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, set[str]]:
    """A log of what makes checksums at the far side, and who does; openssl is broken there, or not."""
    log, directory = tmp_path / "makers", tmp_path / "bin"
    directory.mkdir()
    for name in ("openssl", "sha256sum"):
        does = name == "sha256sum" or request.param
        program = directory / name
        run = f'echo {name} >> {log}; exec {shutil.which(name)} "$@"' if does else "exit 1"
        program.write_text(f"#!/bin/sh\n{run}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    return log, {"sha256sum", "openssl"} if request.param else {"sha256sum"}


def test_files_go_and_come_back_whatever_makes_checksums(
    place: FarPlace, streams: Streams, makers: tuple[Path, set[str]]
) -> None:
    (place.source / "graph.pb").write_bytes(MIB * 40)
    place.put(place.source / "small", "small")
    place.put(place.source / "t" / "in", "input")
    one = task(forward=("in",), backward=("in", "back\\slash", "new\nline", "plain"))
    for _ in range(2):
        place.stage(one, common=("graph.pb", "small"))
    assert (place.base / "graph.pb").read_bytes() == MIB * 40
    for name in one.backward[1:]:
        place.put(place.base / "t" / name, name)
    for _ in range(2):
        assert place.collect(one) == []
        assert [(place.source / "t" / name).read_text() for name in one.backward[1:]] == list(
            one.backward[1:]
        )
    assert streams.names.count("./t/plain") == 1
    assert streams.names.count("./t/in") == 0
    log, expected = makers
    assert set(log.read_text().split()) == expected


def test_patterns_mean_what_they_mean_on_a_shared_disk(place: FarPlace) -> None:
    for name in ("a.log", "x/b.log", "x/y/c.log", ".hidden.log", "x/.d.log", "[odd].log", "z/log"):
        place.put(place.base / "t" / name, name)
    (place.base / "t" / "linked").symlink_to("x")
    patterns = {
        "*.log": {"a.log", "[odd].log"},
        "**/*.log": {"a.log", "[odd].log", "x/b.log", "x/y/c.log"},
        ".*.log": {".hidden.log"},
        "[odd].log": {"[odd].log"},
        "*/b.log": {"x/b.log", "linked/b.log"},
        "linked/*": {"linked/b.log", "linked/y/c.log"},
        "x/*": {"x/b.log", "x/y/c.log"},
        "?": {"x/b.log", "x/.d.log", "x/y/c.log", "z/log"},
    }
    for pattern, expected in patterns.items():
        assert place.collect(task(backward=(pattern,))) == []
        home = place.source / "t"
        found = {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()}
        assert found - {"in"} == expected, pattern
        for name in expected:
            (home / name).unlink()


def test_odd_names_modes_and_times_come_back(place: FarPlace) -> None:
    names = ("-n", "two\nlines", "a:b", "ü", "back\\slash", "x" * 255, " ", "*", "'\"")
    for name in names:
        place.put(place.base / "t" / "d" / name, name)
    (place.base / "t" / "d" / "-n").chmod(0o755)
    os.utime(place.base / "t" / "d" / "-n", ns=(1, 1_600_000_000_123_456_789))
    odd = os.fsdecode(os.fsencode(str(place.base / "t" / "d")) + b"/\xff\xfe")
    Path(odd).write_bytes(b"odd")
    for _ in range(2):
        place.collect(task(backward=("d",)))
        back = place.source / "t" / "d"
        assert {path.name for path in back.iterdir()} == {*names, os.path.basename(odd)}  # noqa: PTH119
        status = (back / "-n").stat()
        assert (stat.S_IMODE(status.st_mode), status.st_mtime_ns) == (
            0o755,
            1_600_000_000_123_456_789,
        )


def test_a_result_with_holes_keeps_them(place: FarPlace) -> None:
    (place.base / "t").mkdir(parents=True)
    with (place.base / "t" / "out").open("wb") as stream:
        stream.write(b"begin")
        stream.seek(EDGE)
        stream.write(b"end")
        stream.truncate(EDGE + (1 << 20))
    place.collect()
    status = (place.source / "t" / "out").stat()
    assert (status.st_size, status.st_blocks * 512 < 4 << 20) == (EDGE + (1 << 20), True)
    with (place.source / "t" / "out").open("rb") as stream:
        stream.seek(EDGE - 1)
        assert stream.read(4) == b"\0end"


def test_what_arrives_spoilt_does_not_count(place: FarPlace, streams: Streams) -> None:
    class Spoiling:
        def __init__(self, output: Output) -> None:
            self.end = output.end
            self._output = output

        def read(self, size: int = -1, /) -> bytes:
            return self._output.read(size).replace(b"result", b"resulT")

    place.put(place.base / "t" / "out", "the result")
    streams.spoil = Spoiling
    with pytest.raises(StagingError, match="what arrived is not what was sent") as caught:
        place.collect()
    assert is_passing(caught.value)
    assert [path.name for path in (place.source / "t").iterdir()] == ["in"]


@pytest.mark.parametrize("after", [0, 300, 1 << 19])
def test_a_stream_that_is_cut_leaves_nothing_here(
    place: FarPlace, streams: Streams, after: int
) -> None:
    class Short:
        def __init__(self, output: Output) -> None:
            self._output = output
            self._left = after

        def read(self, size: int = -1, /) -> bytes:
            data = self._output.read(size)[: self._left]
            self._left -= len(data)
            return data

        def end(self) -> Completed:
            return Completed(argv=("bash",), exit_code=255, stderr="the connection is gone")

    for name in ("out", "log"):
        (place.base / "t").mkdir(parents=True, exist_ok=True)
        (place.base / "t" / name).write_bytes(MIB)
    streams.spoil = Short
    with pytest.raises(StagingError) as caught:
        place.collect()
    assert is_passing(caught.value)
    assert [path.name for path in (place.source / "t").iterdir()] == ["in"]
    streams.spoil = None
    place.collect()
    assert (place.source / "t" / "out").read_bytes() == MIB


@pytest.mark.parametrize("name", ["../../../escaped", "/tmp/escaped", "t/other"])
def test_a_name_that_nobody_asked_for_is_refused(
    place: FarPlace, streams: Streams, name: str
) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.size = 4
        tar.addfile(member, io.BytesIO(b"evil"))

    class Evil:
        def __init__(self, output: Output) -> None:
            self.end = output.end
            self.read = io.BytesIO(archive.getvalue()).read

    place.put(place.base / "t" / "out", "x")
    streams.spoil = Evil
    with pytest.raises(StagingError, match="nobody asked for it; it is refused"):
        place.collect()
    assert [path.name for path in (place.source / "t").iterdir()] == ["in"]
    assert not list(place.source.parent.rglob("escaped"))


def test_a_result_that_is_still_written_to_does_not_keep_the_others(
    place: FarPlace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "tar"
    fake.write_text(
        '#!/bin/sh\n/bin/tar "$@"\necho "tar: ./t/out: file changed as we read it" >&2\nexit 1\n'
    )
    fake.chmod(0o755)
    place.put(place.base / "t" / "out", "growing")
    place.put(place.base / "t" / "log", "log")
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
        with pytest.raises(StagingError, match="t/out: it changed while it was read") as caught:
            place.collect()
    assert is_passing(caught.value)
    assert sorted(path.name for path in (place.source / "t").iterdir()) == ["in", "log"]
    place.collect()
    assert (place.source / "t" / "out").read_text() == "growing"


def test_a_directory_that_is_gone_is_lacking_results(place: FarPlace) -> None:
    assert place.collect(task(backward=("out", "*.dat"))) == ["out", "*.dat"]
    assert place.collect(succeeded=False) == []


def test_much_comes_back_compressed_where_that_pays(
    place: FarPlace, streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jobferry_worker.staging.streamed import receiving

    read = 0

    class Counting:
        def __init__(self, output: Output) -> None:
            self.end = output.end
            self._output = output

        def read(self, size: int = -1, /) -> bytes:
            nonlocal read
            data = self._output.read(size)
            read += len(data)
            return data

    monkeypatch.setattr(receiving, "_PAGE_TASKS", 1)
    streams.spoil = Counting
    tasks = [task(f"t{number}") for number in range(4)]
    for one in tasks:
        place.put(place.base / one.path / "out", "1.0000 2.0000\n" * 50_000)
    place.collect(*tasks)
    assert read < 1_000_000
    assert all((place.source / one.path / "out").stat().st_size == 700_000 for one in tasks)
