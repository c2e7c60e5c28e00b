"""SshHost where something ends early, may not be entered, or is allowed only once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.errors import HostUnreachable
from jobferry_common.files import NewFile
from jobferry_worker.hosts.ssh import SshHost, stream
from jobferry_worker.hosts.ssh.channel import Wire
from tests.testbed.link import Link
from tests.testbed.processes import wait_until
from tests.testbed.sshd import SshServer
from tests.worker.staging.plain import as_plain, skip_without_plain_host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from jobferry_common.schedulers.base import Completed


pytestmark = pytest.mark.needs("sshd")

LIMIT = timedelta(seconds=60)


@pytest.fixture
def host_of(tmp_path: Path) -> Iterator[Callable[..., SshHost]]:
    """A function that starts a server of the test's own with more configuration, and returns a host there."""
    servers: list[SshServer] = []

    def make(**options: str) -> SshHost:
        server = SshServer(tmp_path / f"sshd{len(servers)}", options=options)
        servers.append(server)
        server.start()
        return SshHost(Link(server))

    yield make
    for server in servers:
        server.stop()


def test_removing_a_tree_opens_directories_alone(
    host_of: Callable[..., SshHost], tmp_path: Path
) -> None:
    skip_without_plain_host()
    wrapper = tmp_path / "wrapper"
    words = " ".join(as_plain(("bash", "-c")))
    wrapper.write_text(f'#!/bin/bash\nexec {words} "$SSH_ORIGINAL_COMMAND"\n')
    wrapper.chmod(0o755)
    host = host_of(ForceCommand=str(wrapper))
    (tmp_path / "kept").write_text("kept")
    (tmp_path / "kept").chmod(0o444)
    tree = tmp_path / "tree"
    (tree / "inner").mkdir(parents=True)
    (tree / "inner" / "link").hardlink_to(tmp_path / "kept")
    (tree / "inner").chmod(0o500)
    tree.chmod(0o500)
    host.remove_tree(str(tree))
    assert not tree.exists()
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o444
    host.close()


def test_a_command_that_ended_between_two_chunks_says_why(
    sshd: SshServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    wires: list[Wire] = []

    class Noted(Wire):
        def __init__(self, *words: Any) -> None:
            super().__init__(*words)
            wires.append(self)

    monkeypatch.setattr(stream, "Wire", Noted)

    def slow() -> Iterator[bytes]:
        yield b"one"
        wait_until(lambda: wires[-1].channel.closed, "the end of the command")
        yield b"two"
        yield b"three"

    host = SshHost(Link(sshd))
    ends: list[Completed] = []
    argv = ("sh", "-c", "echo full >&2; exit 3")
    feeding = threading.Thread(
        target=lambda: ends.append(host.feed(argv, slow(), silence=LIMIT)), daemon=True
    )
    feeding.start()
    feeding.join(LIMIT.total_seconds())
    assert [(end.exit_code, end.stderr) for end in ends] == [(3, "full\n")]
    host.close()


def test_one_session_is_enough(host_of: Callable[..., SshHost], tmp_path: Path) -> None:
    host = host_of(MaxSessions="1")
    for number in range(3):
        host.write([NewFile(path=f"{tmp_path}/{number}", content=b"x")])
        assert host.feed(("cat",), [b"in"], silence=LIMIT).checked() == "in"
        with host.output(("echo", "out"), silence=LIMIT) as output:
            assert output.read() == b"out\n"
    with ThreadPoolExecutor(4) as pool:
        fed = [pool.submit(host.feed, ("cat",), [b"in"], silence=LIMIT) for _ in range(4)]
        ran = [pool.submit(host.run, ("echo", "out"), limit=LIMIT) for _ in range(4)]
        assert {one.result().checked() for one in fed} == {"in"}
        assert {one.result().checked() for one in ran} == {"out\n"}
    host.close()


def test_a_command_beside_the_stream_that_has_the_only_session_says_what_is_wrong(
    host_of: Callable[..., SshHost],
) -> None:
    host = host_of(MaxSessions="1")

    def asking() -> Iterator[bytes]:
        yield b"in"
        host.run(("true",), limit=timedelta(seconds=0.2))

    with pytest.raises(HostUnreachable, match="MaxSessions in its sshd_config"):
        host.feed(("cat",), asking(), silence=LIMIT)
    assert host.run(("echo", "out"), limit=LIMIT).checked() == "out\n"
    host.close()


def test_options_that_a_user_has_for_tar_leave_no_file_out(tmp_path: Path) -> None:
    server = SshServer(tmp_path / "sshd")
    server.home.mkdir(parents=True)
    (server.home / ".bash_profile").write_text("export TAR_OPTIONS='--exclude=*'\n")
    with server:
        host = SshHost(Link(server))
        host.write([NewFile(path=f"{tmp_path}/new", content=b"x")])
        assert (tmp_path / "new").read_bytes() == b"x"
        host.close()
