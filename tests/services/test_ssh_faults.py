"""SshHost over links that break: in bounded time it is told, and the next call works when the cause is gone."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from jobferry_common.errors import HostUnreachable
from jobferry_common.files import NewFile
from jobferry_worker.hosts.ssh import SshHost
from tests.testbed.link import Link
from tests.testbed.processes import lives, wait_until
from tests.testbed.proxy import Proxy
from tests.testbed.sshd import SshServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.needs("sshd")

LIMIT = timedelta(seconds=60)
SHORT = timedelta(seconds=1)
BIG = 1 << 20


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshServer]:
    """A server of the test's own, which may be stopped."""
    with SshServer(tmp_path / "sshd") as server:
        yield server


@pytest.fixture
def proxy(server: SshServer) -> Iterator[Proxy]:
    """What stands between the host and its server."""
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def host(server: SshServer, proxy: Proxy) -> Iterator[SshHost]:
    host = SshHost(Link(server, port=proxy.port))
    host.run(("true",), limit=LIMIT).checked()
    yield host
    host.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for less long than on a link of the real world."""
    monkeypatch.setattr("jobferry_worker.hosts.ssh.host._SLACK_SECONDS", 1.0)
    monkeypatch.setattr("jobferry_worker.hosts.ssh.host._FILES_SECONDS", 3.0)
    monkeypatch.setattr("jobferry_worker.hosts.ssh.shell._CHECK_SECONDS", 2.0)
    monkeypatch.setattr("jobferry_worker.hosts.ssh.pool.PROBE_SECONDS", 2.0)
    monkeypatch.setattr("jobferry_worker.hosts.ssh.stream._START_SECONDS", 3.0)
    monkeypatch.setattr("jobferry_worker.hosts.ssh.stream._GRACE_SECONDS", 2.0)


def works(host: SshHost, path: Path) -> bool:
    """Return whether commands, files and streams come through."""
    text = str(path).encode()
    assert host.run(("cat",), limit=LIMIT, stdin=text).checked().encode() == text
    host.write([NewFile(path=str(path), content=text)])
    assert host.read([str(path)]) == {str(path): text}
    assert host.feed(("cat",), [text], silence=LIMIT).checked().encode() == text
    with host.output(("cat", str(path)), silence=LIMIT) as output:
        return output.read() == text


def every_call(host: SshHost, path: Path) -> list[Callable[[], object]]:
    file = NewFile(path=str(path), content=b"x")
    return [
        lambda: host.run(("true",), limit=SHORT),
        lambda: host.write([file]),
        lambda: host.create([file]),
        lambda: host.read([str(path)]),
        lambda: host.names("/"),
        lambda: host.make_directories([str(path.parent)]),
        lambda: host.remove([str(path)]),
        lambda: host.remove_tree(str(path)),
        lambda: host.feed(("true",), [b"x"], silence=SHORT),
        lambda: host.output(("true",), silence=SHORT).__enter__(),
    ]


def test_sshd_is_stopped_and_started(
    server: SshServer, proxy: Proxy, host: SshHost, tmp_path: Path
) -> None:
    server.stop()
    proxy.reset()
    for call in every_call(host, tmp_path / "x"):
        with pytest.raises(HostUnreachable):
            call()
    server.start()
    assert works(host, tmp_path / "file")


def test_a_reset_in_the_middle_of_a_command(proxy: Proxy, host: SshHost, tmp_path: Path) -> None:
    with ThreadPoolExecutor() as threads:
        mark = tmp_path / "pid"
        script = f"echo $$ > {mark}; exec sleep 600"
        running = threads.submit(host.run, ("sh", "-c", script), limit=LIMIT)
        wait_until(lambda: mark.exists() and mark.read_text(), "it runs")
        proxy.reset()
        with pytest.raises(HostUnreachable, match="not known what became of sh"):
            running.result(30)
    assert works(host, tmp_path / "file")


def test_an_idle_connection_that_broke_is_no_news(
    proxy: Proxy, host: SshHost, tmp_path: Path
) -> None:
    proxy.reset()
    assert host.names(str(tmp_path / "sshd")) != []
    assert proxy.connections == 2


def test_a_reset_in_the_middle_of_a_stream(proxy: Proxy, host: SshHost, tmp_path: Path) -> None:
    whole = tmp_path / "whole"

    def endless() -> Iterator[bytes]:
        while True:
            yield b"x" * BIG

    proxy.reset_after = 5 * BIG
    with pytest.raises(HostUnreachable, match="broke while sh ran"):
        host.feed(("sh", "-c", f"cat >/dev/null && touch {whole}"), endless(), silence=LIMIT)
    proxy.reset_after = 0
    with (
        pytest.raises(HostUnreachable, match="broke while cat ran"),
        host.output(("cat", "/dev/zero"), silence=LIMIT) as output,
    ):
        for count in range(1000):
            assert output.read(BIG)
            if count == 5:
                proxy.reset()
    assert works(host, tmp_path / "file")


@pytest.mark.usefixtures("impatient")
def test_a_stall_is_told_in_time(proxy: Proxy, host: SshHost, tmp_path: Path) -> None:
    of_each_kind = every_call(host, tmp_path / "x")[::7] + every_call(host, tmp_path / "x")[8:]
    for call in of_each_kind:
        host.names("/")
        proxy.stall()
        with pytest.raises(HostUnreachable):
            call()
        proxy.go_on()
    assert works(host, tmp_path / "file")


@pytest.mark.usefixtures("impatient")
def test_a_stall_in_the_middle_of_a_stream(proxy: Proxy, host: SshHost, tmp_path: Path) -> None:
    def stalling() -> Iterator[bytes]:
        for count in range(100):
            if count == 3:
                proxy.stall()
            yield b"x" * BIG

    with pytest.raises(HostUnreachable):
        host.feed(("sh", "-c", "cat >/dev/null"), stalling(), silence=SHORT)
    proxy.go_on()
    with (
        pytest.raises(HostUnreachable),
        host.output(("cat", "/dev/zero"), silence=SHORT) as output,
    ):
        for count in range(1000):
            output.read(BIG)
            if count == 5:
                proxy.stall()
    proxy.go_on()
    assert works(host, tmp_path / "file")


@pytest.mark.usefixtures("impatient")
def test_a_command_that_comes_after_its_caller_gave_up_is_not_started(
    proxy: Proxy, host: SshHost, tmp_path: Path
) -> None:
    mark = tmp_path / "submitted"
    shell = int(host.run(("sh", "-c", "ps -o ppid= -p $PPID"), limit=LIMIT).checked())
    sent = proxy.sent
    proxy.stall()
    with pytest.raises(HostUnreachable):
        host.run(("touch", str(mark)), limit=SHORT)
    proxy.go_on()
    wait_until(lambda: not lives(shell), "the shell has read all that came late")
    assert proxy.sent > sent
    assert not mark.exists()
    assert works(host, tmp_path / "file")


def test_a_link_that_is_late_by_200_ms(proxy: Proxy, host: SshHost, tmp_path: Path) -> None:
    proxy.delay = 0.2
    assert works(host, tmp_path / "file")
    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(lambda n: works(host, tmp_path / str(n)), range(4)))
    assert host.feed(("wc", "-c"), [b"x" * BIG] * 20, silence=LIMIT).checked() == f"{20 * BIG}\n"


def test_threads_survive_a_reset_together(proxy: Proxy, host: SshHost, tmp_path: Path) -> None:
    begun = threading.Barrier(7)

    def work(number: int) -> bool:
        begun.wait()
        try:
            return works(host, tmp_path / str(number))
        except HostUnreachable:
            return works(host, tmp_path / str(number))

    with ThreadPoolExecutor(6) as threads:
        working = [threads.submit(work, number) for number in range(6)]
        begun.wait()
        proxy.reset()
        assert all(one.result(100) for one in working)
