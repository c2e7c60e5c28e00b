"""Sessions of sshd, and producers, that are killed at any moment of a transfer: the next try brings all of it."""

from __future__ import annotations

import logging
import os
import random
import signal
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psutil
import pytest

from jobferry_common.errors import HostUnreachable, StagingError
from jobferry_common.names import RunId
from jobferry_common.states import ResultsState
from jobferry_worker.hosts.ssh import SshHost
from jobferry_worker.staging.streamed import Streamed
from tests.services.two_hosts import PATIENCE, TwoHosts, depot_at
from tests.testbed.link import Link
from tests.testbed.processes import wait_until
from tests.testbed.sshd import SshServer
from tests.worker.staging.places import Place, task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

#: how often in each direction; JOBFERRY_KILLS sets more
KILLS = int(os.environ.get("JOBFERRY_KILLS", "3"))
BIG = os.urandom(24 << 20)
FILES = 400


@contextmanager
def killed_within(seconds: float, kill: Callable[[], None]) -> Iterator[None]:
    """Kill at a random moment of what is done meanwhile."""
    timer = threading.Timer(random.uniform(0.0, seconds), kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def kill_sessions(server: SshServer) -> None:
    """Kill what sshd started for each connection, and nothing of what those started."""
    for child in psutil.Process(server.pid).children():
        with suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGKILL)


class Fated(Place):
    """A place behind an sshd whose sessions are killed."""

    def __init__(self, top: Path, server: SshServer) -> None:
        super().__init__(top, "streamed")
        self.host = SshHost(Link(server))
        self.staging = Streamed(self.host, str(self.root))
        self._server = server
        self._seconds = 1.0
        #: how often something failed by it
        self.failed = 0

    def until_done(self, act: Callable[[], object]) -> None:
        """Do something while its session is killed, and once more."""
        begun = time.monotonic()
        with killed_within(self._seconds, lambda: kill_sessions(self._server)):
            try:
                act()
            except (HostUnreachable, StagingError):
                self.failed += 1
        act()
        self._seconds = (time.monotonic() - begun) / 2


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Fated]:
    with SshServer(tmp_path / "sshd") as server:
        place = Fated(tmp_path, server)
        yield place
        place.host.close()


@pytest.mark.needs("sshd")
def test_sessions_that_are_killed_leave_nothing_half(place: Fated) -> None:
    tasks = [task(f"t{number}", backward=("out",)) for number in range(FILES)]
    for one in tasks:
        place.put(place.source / one.path / "in", one.path * 100)
    for number in range(KILLS):
        place.at(f"5e7-{number}")
        big = BIG[number:]
        (place.source / "big").write_bytes(big)
        place.until_done(lambda: place.stage(*tasks, common=("big",)))
        assert (place.base / "big").read_bytes() == big
        for one in tasks:
            assert (place.base / one.path / "in").read_text() == one.path * 100
            place.put(place.base / one.path / "out", f"{number} {one.path}")
        (place.base / "t0" / "out").write_bytes(big)
        place.until_done(lambda: place.collect(*tasks))
        assert (place.source / "t0" / "out").read_bytes() == big
        for one in tasks[1:]:
            assert (place.source / one.path / "out").read_text() == f"{number} {one.path}"
            assert {path.name for path in (place.source / one.path).iterdir()} == {"in", "out"}
    logging.getLogger(__name__).info("%s of %s transfers were cut off.", place.failed, 2 * KILLS)


@pytest.fixture(params=["file", "redis"])
def hosts(request: pytest.FixtureRequest, short_path: Path) -> Iterator[TwoHosts]:
    """Two hosts with a depot of each kind between them."""
    with TwoHosts(short_path, depot_at(request.param, short_path, None)) as hosts:
        yield hosts


GIVING = ("submit", "submission.json", "--exit-on-submit")


@pytest.mark.needs("valkey", "namespaces")
def test_a_producer_that_is_killed_while_it_gives_or_takes_does_it_again(hosts: TwoHosts) -> None:
    for number in range(KILLS):
        _goes_and_comes(hosts, number, lambda *words: _killed(hosts, *words))


def _goes_and_comes(hosts: TwoHosts, number: int, trouble: Callable[..., None]) -> None:
    """Do work that is new each time, with trouble before each step of the producer."""
    hosts.write(f"cat ../big in > out # {number}", forward_common_files=["big"])
    big = os.urandom(8 << 20)
    (hosts.home / "work" / "big").write_bytes(big)
    trouble(*GIVING)
    run = RunId(hosts.producer(*GIVING).stdout.strip())
    _wait_for(hosts, run, ResultsState.DEPOT)
    trouble("fetch", run)
    out = hosts.result("t0/out")
    right = big + b"input 0\n"
    assert not out.exists() or out.read_bytes() == right
    if hosts.ledger().run(run).results is ResultsState.DEPOT:
        hosts.producer("fetch", run)
    assert out.read_bytes() == right
    out.unlink()
    assert {path.name for path in out.parent.iterdir()} <= {"in", "log", "err"}
    _wait_for(hosts, run, ResultsState.CLEANED)


def _killed(hosts: TwoHosts, *arguments: str) -> None:
    process = hosts.start_producer(*arguments)
    time.sleep(random.uniform(0.3, 2.0))
    for one in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            one.kill()
    process.kill()


def _wait_for(hosts: TwoHosts, run: RunId, results: ResultsState) -> None:
    wait_until(
        lambda: hosts.ledger().run(run).results is results,
        f"results are {results}",
        limit=PATIENCE,
    )
