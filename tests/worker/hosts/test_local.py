"""LocalHost: commands with their limits, and files that are never half there."""

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


def test_arguments_reach_the_command_as_they_are(host: LocalHost) -> None:
    odd = ("a b", "$(touch pwned)", "it's", "-n", "[x]", "two\nlines", "ü")
    done = host.run((sys.executable, "-c", "import sys; print(sys.argv[1:])", *odd), limit=LIMIT)
    assert done.checked() == f"{list(odd)}\n"


def test_stdin_directory_and_environment_are_passed(host: LocalHost, tmp_path: Path) -> None:
    done = host.run(
        ("sh", "-c", 'cat; pwd; echo "$GREETING"'),
        limit=LIMIT,
        stdin=b"in\n",
        directory=str(tmp_path),
        environment={"GREETING": "hello"},
    )
    assert done.stdout == f"in\n{tmp_path}\nhello\n"


def test_bytes_that_are_no_text_do_not_break_the_answer(host: LocalHost) -> None:
    assert host.run(("printf", r"a\377b"), limit=LIMIT).stdout == "a\ufffdb"


def test_a_command_that_does_not_exist_answers_127(host: LocalHost) -> None:
    done = host.run(("no-such-command-here", "x"), limit=LIMIT)
    assert (done.exit_code, done.argv) == (127, ("no-such-command-here", "x"))
    assert "no-such-command-here" in done.stderr


def test_a_directory_that_does_not_exist_is_named(host: LocalHost, tmp_path: Path) -> None:
    done = host.run(("true",), limit=LIMIT, directory=str(tmp_path / "gone"))
    assert done.exit_code == 127
    assert str(tmp_path / "gone") in done.stderr


def test_a_file_that_is_not_executable_answers_126(host: LocalHost, tmp_path: Path) -> None:
    (tmp_path / "script").write_text("echo")
    assert host.run((str(tmp_path / "script"),), limit=LIMIT).exit_code in {126, 127}


def test_the_limit_ends_the_command_and_its_children(host: LocalHost, tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    script = f"(while :; do date > '{alive}'; sleep 0.1; done) & sleep 600"
    done = host.run(("bash", "-c", script), limit=SHORT)
    assert done.exit_code == TIMED_OUT
    alive.unlink(missing_ok=True)
    time.sleep(0.5)
    assert not alive.exists()


def test_a_command_that_ignores_sigterm_is_killed(host: LocalHost) -> None:
    done = host.run(("bash", "-c", "trap '' TERM; while :; do sleep 0.1; done"), limit=SHORT)
    assert done.exit_code == TIMED_OUT


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
    until(lambda: not _lives(pid))


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


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


def test_files_are_written_with_their_parents_and_modes(host: LocalHost, tmp_path: Path) -> None:
    paths = [str(tmp_path / "a" / f"{name} $(x) [y]") for name in ("one", "two", "-three")]
    host.write([NewFile(path=path, content=path.encode(), mode=0o755) for path in paths])
    assert host.read([*paths, str(tmp_path / "none")]) == {path: path.encode() for path in paths}
    assert Path(paths[0]).stat().st_mode & 0o700 == 0o700
    assert len(list((tmp_path / "a").iterdir())) == len(paths)


def test_a_file_is_replaced_and_never_opened_for_writing(host: LocalHost, tmp_path: Path) -> None:
    path = tmp_path / "file"
    host.write([NewFile(path=str(path), content=b"old")])
    with path.open("rb") as reader:
        host.write([NewFile(path=str(path), content=b"new")])
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"


def test_create_leaves_what_exists_alone(host: LocalHost, tmp_path: Path) -> None:
    first, second = str(tmp_path / "claim" / "1.1"), str(tmp_path / "claim" / "2.1")
    assert host.create([NewFile(path=first, content=b"mine")]) == [True]
    both = [NewFile(path=path, content=b"yours") for path in (first, second)]
    assert host.create(both) == [False, True]
    assert host.read([first, second]) == {first: b"mine", second: b"yours"}
    assert host.names(str(tmp_path / "claim")) == ["1.1", "2.1"]


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


def test_a_parent_that_is_a_file_is_a_staging_error(host: LocalHost, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for attempt in (
        lambda: host.make_directories([str(tmp_path / "file" / "x")]),
        lambda: host.write([NewFile(path=str(tmp_path / "file" / "x"), content=b"")]),
        lambda: host.read([str(tmp_path)]),
    ):
        with pytest.raises(StagingError, match=str(tmp_path)):
            attempt()


def test_what_is_gone_already_needs_no_removal(host: LocalHost, tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")
    host.remove([gone])
    host.remove_tree(gone)
    assert host.names(gone) == []


def test_a_tree_is_removed_without_following_links(host: LocalHost, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "precious").write_text("x")
    tree = tmp_path / "tree"
    host.make_directories([str(tree / "locked" / "inner")])
    (tree / "link").symlink_to(kept)
    (tree / "locked").chmod(0o500)
    host.remove_tree(str(tree))
    (tmp_path / "link").symlink_to(kept)
    host.remove_tree(str(tmp_path / "link"))
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (kept / "precious").exists()


def test_the_user_is_named(host: LocalHost) -> None:
    assert host.user() == host.run(("id", "-un"), limit=LIMIT).stdout.strip()
