"""Files to a cluster behind a real sshd and back: a link that breaks, a disk that is full, one connection for all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from jobferry_common.errors import HostUnreachable, StagingError
from jobferry_worker.hosts.ssh import SshHost
from jobferry_worker.staging.base import is_passing
from jobferry_worker.staging.streamed import Streamed
from tests.testbed.disks import SmallDisk
from tests.testbed.link import Link
from tests.testbed.sshd import SshServer
from tests.worker.staging.places import Place, task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import timedelta
    from pathlib import Path

    from jobferry_common.schedulers.base import Argv, Completed

pytestmark = pytest.mark.needs("sshd")

BIG = os.urandom(9 << 20)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshServer]:
    with SshServer(tmp_path / "sshd") as server:
        yield server


class Watched(SshHost):
    """It tells of each chunk that goes."""

    on_chunk: Callable[[int], None] = staticmethod(lambda _: None)

    def feed(self, argv: Argv, chunks: Iterable[bytes], *, silence: timedelta) -> Completed:
        return super().feed(argv, self._watched(chunks), silence=silence)

    def _watched(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        sent = 0
        for chunk in chunks:
            self.on_chunk(sent)
            sent += len(chunk)
            yield chunk


class SshPlace(Place):
    """A place with a login by ssh between its two sides."""

    def __init__(self, top: Path, server: SshServer) -> None:
        super().__init__(top, "streamed")
        self.link = Link(server)
        self.host = Watched(self.link)
        self.staging = Streamed(self.host, str(self.root))


@pytest.fixture
def place(tmp_path: Path, server: SshServer) -> Iterator[SshPlace]:
    place = SshPlace(tmp_path, server)
    yield place
    place.host.close()


def test_many_files_go_and_come_back_over_one_connection(place: SshPlace) -> None:
    (place.source / "graph.pb").write_bytes(BIG)
    tasks = [
        task(f"t{number}", forward=("in", "d"), backward=("in.*", "d")) for number in range(300)
    ]
    for one in tasks:
        for name in ("in", "d/a b", "d/ü:\n"):
            place.put(place.source / one.path / name, f"{one.path} {name}")
    place.stage(*tasks, common=("graph.pb",))
    assert (place.base / "graph.pb").read_bytes() == BIG
    for one in tasks:
        assert (place.base / one.path / "d" / "ü:\n").read_text() == f"{one.path} d/ü:\n"
        (place.base / one.path / "in").rename(place.base / one.path / "in.out")
        place.put(place.base / one.path / "d" / "new", one.path)
    assert place.collect(*tasks) == []
    for one in tasks:
        assert (place.source / one.path / "in.out").read_text() == f"{one.path} in"
        assert (place.source / one.path / "d" / "new").read_text() == one.path
    place.staging.clean(place.layout)
    assert not place.base.exists()
    assert place.link.opened == 1


def test_names_that_are_no_text_go_and_come_back(place: SshPlace) -> None:
    name = os.fsdecode(b"\xff\xfe odd")
    place.put(place.source / "t" / "d" / name, "odd")
    place.stage(task(forward=("d",)))
    (place.base / "t" / "d" / name).rename(place.base / "t" / "d" / f"{name}.out")
    place.collect(task(backward=("d",)))
    assert (place.source / "t" / "d" / f"{name}.out").read_text() == "odd"


@pytest.mark.parametrize("after", [1, len(BIG) // 2])
def test_a_link_that_breaks_in_the_middle_leaves_nothing_half(
    place: SshPlace, server: SshServer, after: int
) -> None:
    def cut(sent: int) -> None:
        if sent >= after:
            place.host.on_chunk = lambda _: None
            place.link.transport().close()

    (place.source / "graph.pb").write_bytes(BIG)
    place.host.on_chunk = cut
    with pytest.raises((HostUnreachable, StagingError)):
        place.stage(common=("graph.pb",))
    assert not (place.base / "graph.pb").exists()
    place.stage(common=("graph.pb",))
    assert (place.base / "graph.pb").read_bytes() == BIG
    assert (place.base / "t" / "in").read_text() == "input"


@pytest.fixture(params=["full", pytest.param("quota", marks=pytest.mark.needs("btrfs"))])
def small_disk(request: pytest.FixtureRequest, place: SshPlace) -> Iterator[SmallDisk]:
    """Let the cluster's root be a disk of 3 MB, or one of which no more may be used."""
    with SmallDisk(place.root, mib=3, kind=request.param) as disk:
        yield disk


@pytest.mark.needs("namespaces")
@pytest.mark.parametrize("kind", ["one large common file", "many small files"])
def test_a_full_disk_is_told_with_its_path_and_may_pass(
    place: SshPlace, small_disk: SmallDisk, kind: str
) -> None:
    tasks = [task()]
    if kind == "many small files":
        for number in range(300):
            place.put(place.source / "t" / "d" / str(number), "x" * 10_000)
        tasks = [task(forward=("d",))]
        place.staging = Streamed(place.host, str(place.root), compress=False)
    else:
        (place.source / "graph.pb").write_bytes(BIG)
    common = () if kind == "many small files" else ("graph.pb",)
    with pytest.raises(StagingError, match=f"{place.root}.*: {small_disk.words}") as caught:
        place.stage(*tasks, common=common)
    assert is_passing(caught.value)
    assert [path for path in place.base.rglob("*") if path.is_file()] == []


@pytest.mark.needs("namespaces")
def test_a_disk_that_fills_leaves_what_jobs_of_the_run_have_made(
    place: SshPlace, small_disk: SmallDisk
) -> None:
    place.put(place.source / "t0" / "in", "input")
    for number in range(90):
        place.put(place.source / "t1" / "d" / str(number), os.urandom(10_000).hex())
    place.stage(task("t0"))
    place.put(place.base / "t0" / "running.log", "hours of work\n")
    with pytest.raises(StagingError, match=f"{place.root}.*: {small_disk.words}"):
        place.stage(task("t1", forward=("d",)))
    assert (place.base / "t0" / "running.log").read_text() == "hours of work\n"
    assert (place.base / "t0" / "in").read_text() == "input"


@pytest.mark.needs("namespaces")
def test_results_come_from_a_full_disk(place: SshPlace, small_disk: SmallDisk) -> None:
    place.put(place.base / "t" / "out", "result")
    with (
        (small_disk.path / "filler").open("wb", buffering=0) as filler,
        pytest.raises(OSError, match=small_disk.words),
    ):
        while True:
            filler.write(BIG)
    assert place.collect() == []
    assert (place.source / "t" / "out").read_text() == "result"
