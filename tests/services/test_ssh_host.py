"""SshHost on a real sshd: what a shell, a login or a command may do to it."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import paramiko
import pytest
from paramiko.buffered_pipe import BufferedPipe
from paramiko.pipe import PosixPipe

from jobferry_common.errors import HostUnreachable
from jobferry_common.files import NewFile
from jobferry_worker.hosts.ssh import SshHost
from jobferry_worker.hosts.ssh.channel import Wire, open_session
from jobferry_worker.hosts.streams import TIMED_OUT
from tests.testbed.link import Link
from tests.testbed.processes import lives, wait_until
from tests.testbed.sshd import SshServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.needs("sshd")

LIMIT = timedelta(seconds=60)
SHORT = timedelta(seconds=0.3)
_PARENT = ("sh", "-c", "ps -o ppid= -p $PPID")
_GARBAGE = r"echo Welcome; printf 'a\0b<%s> 0 0\n'; echo quota exceeded >&2"


@pytest.fixture
def host(sshd: SshServer) -> Iterator[SshHost]:
    host = SshHost(Link(sshd))
    yield host
    host.close()


@pytest.fixture
def host_of(tmp_path: Path) -> Iterator[Callable[..., SshHost]]:
    """A function that starts a server of the test's own with more configuration, and returns a host there."""
    servers: list[SshServer] = []

    def make(extra: str) -> SshHost:
        options = dict(line.split(" ", 1) for line in extra.splitlines())
        server = SshServer(tmp_path / f"sshd{len(servers)}", options=options)
        servers.append(server)
        server.start()
        return SshHost(Link(server))

    yield make
    for server in servers:
        server.stop()


def _shell_of(host: SshHost) -> int:
    """Return the process of the shell at the far side."""
    return int(host.run(_PARENT, limit=LIMIT).checked())


def test_commands_and_files_share_one_connection_and_one_shell(
    sshd: SshServer, tmp_path: Path
) -> None:
    link = Link(sshd)
    host = SshHost(link)
    path = str(tmp_path / "file")
    shell = _shell_of(host)
    host.write([NewFile(path=path, content=b"x")])
    assert host.read([path]) == {path: b"x"}
    assert host.names(str(tmp_path)) == ["file"]
    host.run(("sh", "-c", "exit 3"), limit=LIMIT)
    assert _shell_of(host) == shell
    assert link.opened == 1
    host.close()


def test_what_only_looks_and_reads_starts_no_process(host: SshHost, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    shell = _shell_of(host)
    before = _faults_of_children(shell)
    for _ in range(20):
        assert host.names(str(tmp_path)) == ["file"]
        assert len(host.read([str(tmp_path / "file"), str(tmp_path / "none")])) == 1
        host.make_directories([str(tmp_path)])
    assert _faults_of_children(shell) == before
    host.run(("true",), limit=LIMIT)
    assert _faults_of_children(shell) > before


def _faults_of_children(pid: int) -> int:
    """Return a number that grows with each child that ends."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[8])


def test_a_shell_that_was_killed_while_idle_is_replaced(host: SshHost) -> None:
    shell = _shell_of(host)
    os.kill(shell, 9)
    assert host.run(("echo", "again"), limit=LIMIT).checked() == "again\n"
    assert _shell_of(host) != shell


def test_of_a_shell_that_was_killed_at_work_it_is_not_known_what_it_did(host: SshHost) -> None:
    shell = _shell_of(host)
    with pytest.raises(HostUnreachable, match=r"not known what became of sh: its shell ended"):
        host.run(("sh", "-c", f"kill -9 {shell}; sleep 600"), limit=LIMIT)
    assert host.run(("echo", "again"), limit=LIMIT).checked() == "again\n"


def test_files_are_asked_for_again_when_the_shell_ends(host: SshHost, tmp_path: Path) -> None:
    """Reading waits for a writer of the pipe; the shell is killed meanwhile, and the file is another then."""
    path = tmp_path / "file"
    os.mkfifo(path)
    shell = _shell_of(host)
    with ThreadPoolExecutor() as threads:
        reading = threads.submit(host.read, [str(path)])
        wait_until(lambda: "wait_for_partner" in _waits_in(shell), "it opens the pipe")
        path.unlink()
        path.write_text("text")
        os.kill(shell, 9)
        assert reading.result(60) == {str(path): b"text"}


def _waits_in(pid: int) -> str:
    text = Path(f"/proc/{pid}/wchan").read_text()
    # where the kernel does not tell, it is enough that it sleeps in an open
    number = Path(f"/proc/{pid}/syscall").read_text().split()[0] if text in {"", "0"} else ""
    return "wait_for_partner" if number in {"2", "257", "56"} else text


def test_a_command_that_cannot_be_ended_is_left_and_killed(
    host: SshHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobferry_worker.hosts.ssh.host._SLACK_SECONDS", 1.0)
    shell = _shell_of(host)
    done = host.run(("sh", "-c", "kill -STOP $PPID; sleep 600"), limit=SHORT)
    assert done.exit_code == TIMED_OUT
    assert "could not be ended" in done.stderr
    wait_until(lambda: not lives(shell), "its shell is gone")
    assert host.run(("echo", "again"), limit=LIMIT).checked() == "again\n"


def test_a_flood_is_bounded(host: SshHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobferry_worker.hosts.ssh.shell.MOST_OUTPUT", 1 << 20)
    shell = _shell_of(host)
    for script in ("yes", "yes >&2"):
        done = host.run(("sh", "-c", script), limit=LIMIT)
        assert (done.exit_code, done.stdout) == (TIMED_OUT, "")
        assert "more than 1 MiB" in done.stderr
    wait_until(lambda: not lives(shell), "its shell is gone")


@pytest.fixture
def fed_after_its_end(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """A pipe of paramiko's is only known to be closed after more output came; then the event is set."""
    more = threading.Event()
    feed: Callable[..., None] = BufferedPipe.feed

    def fed(self: Any, data: bytes) -> None:
        try:
            feed(self, data)
        finally:
            more.set()

    def close(self: Any) -> None:
        os.close(self._wfd)
        more.clear()
        more.wait(60)
        os.close(self._rfd)
        self._closed = True

    monkeypatch.setattr(BufferedPipe, "feed", fed)
    monkeypatch.setattr(PosixPipe, "close", close)
    return more


def test_a_channel_that_is_closed_while_output_comes_does_not_end_the_connection(
    sshd: SshServer, fed_after_its_end: threading.Event
) -> None:
    link = Link(sshd)
    wire = Wire(open_session(link.transport(), timeout=60))
    wire.channel.exec_command("while echo more; do sleep 0.05; done")
    wait_until(lambda: wire.take() or wire.stdout, "it prints")
    wire.close()
    assert fed_after_its_end.is_set()
    open_session(link.transport(), timeout=60).close()
    assert link.opened == 1
    link.close()


def test_much_output_and_much_input_at_once(host: SshHost) -> None:
    text = b"0123456789\n" * 500_000
    done = host.run(("sh", "-c", "tee /dev/stderr"), limit=LIMIT, stdin=text)
    assert done.stdout.encode() == done.stderr.encode() == text


@pytest.mark.parametrize("stdin", [b"x" * 1_000_000, b"\0\n" * 50_000, b"exit 9\n" * 1000, b"\n"])
@pytest.mark.parametrize("script", ["true", "head -c 1", "cat >/dev/null", "exec <&-; exit 0"])
def test_stdin_that_is_not_read_is_no_command(host: SshHost, stdin: bytes, script: str) -> None:
    shell = _shell_of(host)
    assert host.run(("sh", "-c", script), limit=LIMIT, stdin=stdin).exit_code == 0
    assert _shell_of(host) == shell


def test_output_that_looks_like_a_mark_is_output(host: SshHost) -> None:
    marks = "".join(f"{number:032x}> 0 0\n{number:032x}<\n" for number in range(1000))
    done = host.run(("cat",), limit=LIMIT, stdin=marks.encode())
    assert done.checked() == marks


def test_what_a_command_left_behind_does_not_print_into_the_next(
    host: SshHost, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    script = f"(while [ ! -e {go} ]; do sleep 0.02; done; echo stray; echo stray >&2) & echo done"
    assert host.run(("sh", "-c", script), limit=LIMIT).stdout == "done\n"
    go.touch()
    for _ in range(20):
        done = host.run(("sleep", "0.02"), limit=LIMIT)
        assert (done.stdout, done.stderr) == ("", "")


def test_a_quick_command_does_not_wait_for_a_slow_one(host: SshHost, tmp_path: Path) -> None:
    """The slow ones end when the quick one has run."""
    go = tmp_path / "go"
    slow = ("sh", "-c", f"while [ ! -e {go} ]; do sleep 0.02; done")
    with ThreadPoolExecutor() as threads:
        waiting = [threads.submit(host.run, slow, limit=LIMIT) for _ in range(2)]
        host.run(("touch", str(go)), limit=LIMIT).checked()
        assert [one.result().exit_code for one in waiting] == [0, 0]


def test_many_threads_share_few_shells(host: SshHost, tmp_path: Path) -> None:
    barrier = threading.Barrier(12)

    def work(number: int) -> set[int]:
        barrier.wait()
        path = str(tmp_path / str(number))
        host.write([NewFile(path=path, content=path.encode())])
        assert host.read([path]) == {path: path.encode()}
        assert host.run(("echo", path), limit=LIMIT).checked() == f"{path}\n"
        return {_shell_of(host) for _ in range(3)}

    with ThreadPoolExecutor(12) as threads:
        shells = set[int]().union(*threads.map(work, range(12)))
    assert 1 <= len(shells) <= 3


def test_a_server_that_allows_one_session_is_enough_for_commands(
    host_of: Callable[..., SshHost], tmp_path: Path
) -> None:
    host = host_of("MaxSessions 1")
    with ThreadPoolExecutor(4) as threads:
        done = threads.map(lambda _: host.run(("sleep", "0.1"), limit=LIMIT), range(8))
        assert [one.exit_code for one in done] == [0] * 8
    host.close()


def test_each_thread_is_told_that_there_is_no_room(
    host_of: Callable[..., SshHost],
) -> None:
    host = host_of("MaxSessions 0")
    threads = 8
    begun = threading.Barrier(threads)
    transport = host._connection.transport()

    def ask(_: int) -> None:
        begun.wait()
        for _ in range(20):
            with pytest.raises(paramiko.ChannelException):
                open_session(transport, timeout=60)

    with ThreadPoolExecutor(threads) as pool:
        assert list(pool.map(ask, range(threads))) == [None] * threads
    host.close()


def test_the_environment_is_that_of_a_login_without_its_noise(
    host_of: Callable[..., SshHost], tmp_path: Path
) -> None:
    home = tmp_path / "sshd0/home"
    home.mkdir(parents=True)
    (home / ".bash_profile").write_text(
        f"{_GARBAGE}\nread answer\nexport PATH=/opt/site/bin:$PATH SITE='two words'\n"
        "set -u\ncd() { false; }\nexport -f cd\ntrap 'echo trapped' EXIT\nexport LC_ALL=C.UTF-8\n"
    )
    host = host_of('ForceCommand exec sh -c "$SSH_ORIGINAL_COMMAND"')
    script = 'echo "$SITE $LC_ALL ${PATH%%:*}"; pwd'
    done = host.run(("sh", "-c", script), limit=LIMIT, directory="/")
    assert (done.stdout, done.stderr) == ("two words C.UTF-8 /opt/site/bin\n/\n", "")
    with host.output(("sh", "-c", 'echo "${PATH%%:*}"'), silence=LIMIT) as output:
        assert output.read() == b"/opt/site/bin\n"
    host.close()


def test_a_bash_that_is_started_there_reads_no_file_that_prints(
    host_of: Callable[..., SshHost], tmp_path: Path
) -> None:
    home = tmp_path / "sshd0/home"
    home.mkdir(parents=True)
    (home / ".bashrc").write_text(f"{_GARBAGE}\n")
    host = host_of("X11Forwarding no")
    argv = ("bash", "-c", "cat; echo done")
    done = host.run(argv, limit=LIMIT, stdin=b"x")
    assert (done.stdout, done.stderr) == ("xdone\n", "")
    done = host.feed(argv, [b"x"], silence=LIMIT)
    assert (done.stdout, done.stderr) == ("xdone\n", "")
    with host.output(argv, silence=LIMIT, stdin=b"x") as output:
        assert output.read() == b"xdone\n"
        assert output.end().stderr == ""
    host.close()


def test_a_login_that_waits_is_told_in_words(
    host_of: Callable[..., SshHost], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobferry_worker.hosts.ssh.shell.START_SECONDS", 2.0)
    profile = tmp_path / "sshd0/home/.bash_profile"
    profile.parent.mkdir(parents=True)
    profile.write_text("while ! [ -e ~/go ]; do sleep 0.1; done\n")
    host = host_of("X11Forwarding no")
    with pytest.raises(HostUnreachable, match=r"no shell could be started: .*~/\.bashrc"):
        host.run(("true",), limit=LIMIT)
    profile.with_name("go").touch()
    monkeypatch.undo()
    assert host.run(("echo", "again"), limit=LIMIT).checked() == "again\n"
    host.close()


@pytest.mark.parametrize("shell", ["dash", "tcsh", "fish", "bash"])
@pytest.mark.needs("shells")
def test_the_login_shell_may_be_any_and_print_what_it_likes(
    host_of: Callable[..., SshHost], tmp_path: Path, shell: str
) -> None:
    host = host_of(f'ForceCommand {_GARBAGE}; exec {shell} -c "$SSH_ORIGINAL_COMMAND"')
    odd = 'it\'s $HOME !! "`x`" @40 %s \\x41 [a] \n*'
    assert host.run(("printf", "%s", odd), limit=LIMIT, stdin=b"x").stdout == odd
    path = str(tmp_path / odd)
    host.write([NewFile(path=path, content=b"\0")])
    assert host.read([path]) == {path: b"\0"}
    done = host.feed(
        ("sh", "-c", 'cat; printf %s "$1" >&2', "sh", odd), [b"a", b"b"], silence=LIMIT
    )
    assert (done.exit_code, done.stdout, done.stderr) == (0, "ab", odd)
    with host.output(("printf", "%s", odd), silence=LIMIT) as output:
        assert output.read() == odd.encode()
        assert output.end().exit_code == 0
    host.close()


def test_a_login_that_ends_at_once_is_told(host_of: Callable[..., SshHost]) -> None:
    host = host_of("ForceCommand echo 'This account is not available.' >&2; exit 1")
    with pytest.raises(HostUnreachable, match=r"shell ended; it said 'This account is not availab"):
        host.run(("true",), limit=LIMIT)
    with pytest.raises(HostUnreachable, match="not available"):
        host.feed(("true",), [], silence=LIMIT)


@pytest.mark.parametrize("extra", ["", "RekeyLimit 1M"])
def test_new_keys_are_no_reason_to_break(
    host_of: Callable[..., SshHost], monkeypatch: pytest.MonkeyPatch, extra: str
) -> None:
    """paramiko may ask for them, here after 1 MB, and so may OpenSSH."""
    monkeypatch.setattr("paramiko.packet.Packetizer.REKEY_BYTES", 1 << 20)
    host = host_of(extra)
    for _ in range(6):
        count = 0
        with host.output(("head", "-c", "300000", "/dev/zero"), silence=LIMIT) as output:
            while data := output.read(1 << 20):
                count += len(data)
            output.end().checked()
        assert count == 300_000
    done = host.feed(("wc", "-c"), [b"x" * 300_000] * 10, silence=LIMIT)
    assert done.checked() == "3000000\n"
    host.close()
