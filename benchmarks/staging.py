"""Files to a cluster behind ssh and back, beside what OpenSSH does with them on the same link.

A real sshd on this machine's loopback. "small" are 10,000 files of 1 to 8 kB in 1,000 tasks, "medium" are 100 files of
1 MB in 100 tasks, both of random bytes that nothing compresses; "large" is one common file of 2 GB. OpenSSH copies the
same directory with `tar c | ssh tar x`, or the file with scp, and verifies nothing. Ours is staged into an empty root,
so that the cache has nothing of it, then a second time for another run, whose predecessor was cleaned. Each time the
connection is there already for us, and opened by OpenSSH. Who goes first alternates: the second finds memory that was
used before. All directories are in memory (/dev/shm): on some disks it takes longer to make 10,000 files than all that
is compared here.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks import world
from benchmarks.figure import Figure, Goal, Log, Section
from jobferry_common.document import Header, TaskSpec
from jobferry_common.models.resources import Resources
from jobferry_common.names import ClusterName, RunId, SubmissionId
from jobferry_common.scripts.layout import Layout
from jobferry_worker.hosts.ssh import SshHost
from jobferry_worker.staging.streamed import Streamed
from tests.testbed.sshd import SshServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from jobferry_common.schedulers.base import Argv, Completed

#: of the first time
_QUARTER: Final = 0.25
_SMALL: Final = 10_000
_OF_A_TASK: Final = 10
_MEDIUM: Final = 100
_MEGABYTE: Final = 1_000_000
_LARGE_MEGABYTES: Final = 2000
_PAGE: Final = 1000
_MEMORY: Final = "/dev/shm"
_ROOM_BYTES: Final = 12_000_000_000


def measure(rounds: int, size: int) -> Section:
    """Measure each kind, round by round; `size` is the number of small files, and scales the rest."""
    share = (size or _SMALL) / _SMALL
    log = Log()
    with _memory(), world.directory() as path, SshServer(path / "sshd") as server:
        kinds = _kinds(path, share)
        for number in range(rounds):
            for kind, tasks in kinds.items():
                _round(server, path / kind, path / f"{kind}{number}", tasks, log, first=number % 2)
    return Section(
        title="Files over ssh",
        command=f"python -m benchmarks.run --only staging --rounds {rounds}",
        about=(__doc__ or "").split("\n", 2)[2].strip(),
        figures=tuple(_figures(log)),
        raws=tuple(log.raws),
    )


@contextmanager
def _memory() -> Iterator[None]:
    """Make temporary directories in memory, where there is room for it."""
    before = tempfile.tempdir
    if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM_BYTES:
        tempfile.tempdir = _MEMORY
    try:
        yield
    finally:
        tempfile.tempdir = before


def _figures(log: Log) -> Iterator[Figure]:
    bounds = {"small": 2.0, "medium": 1.3}
    for kind, bound in bounds.items():
        for way in ("up", "down"):
            yield Figure(
                name=f"{kind} files {way} : tar over ssh",
                goal=Goal(bound=bound, unit="×"),
                values=log.ratio(f"{kind} {way}, ours", f"{kind} {way}, tar over ssh"),
                why="every content is digested on both sides and compared, which tar does not do.",
            )
    yield Figure(
        name="one large file up: our rate : scp's",
        goal=Goal(bound=0.8, unit="×", at_least=True),
        values=log.ratio("large up, scp", "large up, ours"),
        why="the content is digested while it is sent, and once more on the far side, which scp does not do.",
    )
    for kind in ("small", "medium", "large"):
        yield _again(log, kind)
        yield Figure(
            name=f"{kind}, submitted again: bytes",
            goal=Goal(bound=0.05, unit="× the first"),
            values=log.ratio(f"{kind} again, sent", f"{kind} up, sent"),
        )


def _again(log: Log, kind: str) -> Figure:
    """Return the time of a second submission: a quarter of the first, or half a second."""
    ratios = log.ratio(f"{kind} again, ours", f"{kind} up, ours")
    name = f"{kind}, submitted again: time"
    if statistics.median(ratios) <= _QUARTER:
        return Figure(name=name, goal=Goal(bound=_QUARTER, unit="× the first"), values=ratios)
    seconds = log.of(f"{kind} again, ours")
    return Figure(
        name=name,
        goal=Goal(bound=0.5, unit="s"),
        values=seconds,
        note=f"{statistics.median(ratios):.2f} × the first; where the first is short, half a second is enough.",
    )


def _kinds(path: Path, share: float) -> dict[str, list[TaskSpec]]:
    """Make the files of each kind, and return its tasks."""
    rng = random.Random(7)
    tasks: dict[str, list[TaskSpec]] = {"small": [], "medium": [], "large": []}
    for index in range(int(_SMALL * share) // _OF_A_TASK):
        names = tuple(f"f{number}" for number in range(_OF_A_TASK))
        for name in names:
            _write(path / "small" / f"t{index}" / name, rng.randbytes(rng.randint(1000, 8000)))
        tasks["small"].append(_task(index, names))
    for index in range(int(_MEDIUM * share)):
        _write(path / "medium" / f"t{index}" / "f", rng.randbytes(_MEGABYTE))
        tasks["medium"].append(_task(index, ("f",)))
    block = rng.randbytes(10 * _MEGABYTE)
    _write(path / "large" / "f", block)
    with (path / "large" / "f").open("ab") as stream:
        for _ in range(int(_LARGE_MEGABYTES * share) // 10 - 1):
            stream.write(rng.randbytes(_MEGABYTE) + block[_MEGABYTE:])
    return tasks


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _task(index: int, names: tuple[str, ...]) -> TaskSpec:
    return TaskSpec(
        position=index,
        command="true",
        path=f"t{index}",
        forward=names,
        backward=names,
        outlog=None,
        errlog=None,
    )


class _Counting(SshHost):
    """It counts what is sent."""

    sent = 0

    def feed(self, argv: Argv, chunks: Iterable[bytes], *, silence: timedelta) -> Completed:
        """Run a command and stream to its stdin."""
        return super().feed(argv, self._counted(chunks), silence=silence)

    def _counted(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.sent += len(chunk)
            yield chunk


def _round(
    server: SshServer, source: Path, place: Path, tasks: Sequence[TaskSpec], log: Log, *, first: int
) -> None:
    """Measure both in turn; whoever is second finds memory that was used before."""
    for measured in ((_ours, _theirs), (_theirs, _ours))[first]:
        with _removed(place):
            measured(server, source, place, tasks, log)


def _theirs(
    server: SshServer, source: Path, place: Path, tasks: Sequence[TaskSpec], log: Log
) -> None:
    kind, far, back = source.name, place / "far", place / "back"
    if not tasks:
        argv = ["scp", *_options(server), str(source / "f"), f"127.0.0.1:{far}"]
        log.note(f"{kind} up, scp", _timed(lambda: _run(argv)), "s")
        return
    far.mkdir()
    back.mkdir()
    up = f"tar -C {source} -c . | {_ssh(server)} 'tar -C {far} -x'"
    log.note(f"{kind} up, tar over ssh", _timed(lambda: _run(["sh", "-c", up])), "s")
    down = f"{_ssh(server)} 'tar -C {far} -c .' | tar -C {back} -x"
    log.note(f"{kind} down, tar over ssh", _timed(lambda: _run(["sh", "-c", down])), "s")


def _ours(
    server: SshServer, source: Path, place: Path, tasks: Sequence[TaskSpec], log: Log
) -> None:
    kind, back = source.name, place / "back"
    host = _Counting(world.connection(server))
    staging = Streamed(host, str(place / "far"))
    common = () if tasks else ("f",)
    head = _header(source, len(tasks), common)
    pages = [list(enumerate(tasks[at : at + _PAGE], at)) for at in range(0, len(tasks), _PAGE)]
    host.run(("true",), limit=timedelta(minutes=1))
    for run, what in (("5e7-1", "up"), ("5e7-2", "again")):
        layout = _layout(place, run)
        host.sent = 0
        log.note(f"{kind} {what}, ours", _timed(partial(staging.stage, head, pages, layout)), "s")
        log.note(f"{kind} {what}, sent", host.sent, "bytes")
        if what == "up":
            staging.clean(layout)
    if tasks:
        back.mkdir()
        ended = [(task, True) for task in tasks]
        into = _header(back, len(tasks), ())
        log.note(f"{kind} down, ours", _timed(lambda: staging.collect(into, ended, layout)), "s")
        _compared(source, back)
    else:
        _compared(source, place / "far" / "5e7-2")
    host.close()


def _header(source: Path, tasks: int, common: tuple[str, ...]) -> Header:
    return Header(
        submission=SubmissionId("5e7"),
        owner="alice@laptop",
        cluster=ClusterName("alpha"),
        source=str(source),
        resources=Resources(group_size=1),
        forward_common=common,
        tasks=tasks,
    )


def _layout(place: Path, run: str) -> Layout:
    root = place / "far"
    return Layout(
        root=str(root), base=str(root / run), run=RunId(run), ledger="1f", cluster="alpha"
    )


def _compared(one: Path, other: Path) -> None:
    _run(["diff", "-r", "--exclude=.jobferry", str(one), str(other)])


def _timed(act: Callable[[], object]) -> float:
    world.wait_for_quiet()
    os.sync()
    begin = time.perf_counter()
    act()
    return time.perf_counter() - begin


def _run(argv: Sequence[str]) -> None:
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)


def _options(server: SshServer) -> list[str]:
    known = f"UserKnownHostsFile={server.known_hosts}"
    return [
        "-F",
        "none",
        "-o",
        known,
        "-o",
        "BatchMode=yes",
        "-i",
        str(server.key),
        "-P",
        str(server.port),
    ]


def _ssh(server: SshServer) -> str:
    return " ".join(server.ssh())


@contextmanager
def _removed(place: Path) -> Iterator[None]:
    place.mkdir()
    try:
        yield
    finally:
        shutil.rmtree(place)
