"""What holds for every host: commands with their limits, files that are never half there."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from subprocess import CalledProcessError, run
from typing import TYPE_CHECKING

import pytest

from jobferry_common.errors import StagingError
from jobferry_common.files import NewFile
from jobferry_worker.hosts.streams import TIMED_OUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobferry_worker.hosts import Host

LIMIT = timedelta(seconds=60)
SHORT = timedelta(seconds=0.3)
#: legal, and each of them broke some program
ODD = (
    "two\nlines",
    "-rf",
    "a b",
    " ",
    "it's",
    'say "x"',
    "$(x)",
    "*",
    "\\",
    "ü→",
    "\udcff",
    "a\tb",
    "%s",
    ":",
    "#",
    "~",
)


def test_arguments_reach_the_command_as_they_are(host: Host) -> None:
    odd = ("a b", "$(touch pwned)", "it's", "-n", "[x]", "two\nlines", "ü")
    done = host.run((sys.executable, "-c", "import sys; print(sys.argv[1:])", *odd), limit=LIMIT)
    assert done.checked() == f"{list(odd)}\n"


def test_stdin_directory_and_environment_are_passed(host: Host, tmp_path: Path) -> None:
    done = host.run(
        ("sh", "-c", 'cat; pwd; echo "$GREETING"'),
        limit=LIMIT,
        stdin=b"in\n",
        directory=str(tmp_path),
        environment={"GREETING": "hello"},
    )
    assert done.stdout == f"in\n{tmp_path}\nhello\n"


def test_bytes_that_are_no_text_do_not_break_the_answer(host: Host) -> None:
    assert host.run(("printf", r"a\377b"), limit=LIMIT).stdout == "a\ufffdb"


def test_a_command_that_does_not_exist_answers_127(host: Host) -> None:
    done = host.run(("no-such-command-here", "x"), limit=LIMIT)
    assert (done.exit_code, done.argv) == (127, ("no-such-command-here", "x"))
    assert "no-such-command-here" in done.stderr


def test_a_directory_that_does_not_exist_is_named(host: Host, tmp_path: Path) -> None:
    done = host.run(("true",), limit=LIMIT, directory=str(tmp_path / "gone"))
    assert done.exit_code == 127
    assert str(tmp_path / "gone") in done.stderr


def test_a_file_that_is_not_executable_answers_126(host: Host, tmp_path: Path) -> None:
    (tmp_path / "script").write_text("echo")
    assert host.run((str(tmp_path / "script"),), limit=LIMIT).exit_code in {126, 127}


def test_the_limit_ends_the_command_and_its_children(host: Host, tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    script = f"(while :; do date > '{alive}'; sleep 0.1; done) & sleep 600"
    done = host.run(("bash", "-c", script), limit=SHORT)
    assert done.exit_code == TIMED_OUT
    alive.unlink(missing_ok=True)
    time.sleep(0.5)
    assert not alive.exists()


def test_a_command_that_ignores_sigterm_is_killed(host: Host) -> None:
    done = host.run(("bash", "-c", "trap '' TERM; while :; do sleep 0.1; done"), limit=SHORT)
    assert done.exit_code == TIMED_OUT


def test_files_are_written_with_their_parents_and_modes(host: Host, tmp_path: Path) -> None:
    paths = [str(tmp_path / "a" / f"{name} $(x) [y]") for name in ("one", "two", "-three")]
    host.write([NewFile(path=path, content=path.encode(), mode=0o755) for path in paths])
    assert host.read([*paths, str(tmp_path / "none")]) == {path: path.encode() for path in paths}
    assert Path(paths[0]).stat().st_mode & 0o700 == 0o700
    assert len(list((tmp_path / "a").iterdir())) == len(paths)


def test_a_file_is_replaced_and_never_opened_for_writing(host: Host, tmp_path: Path) -> None:
    path = tmp_path / "file"
    host.write([NewFile(path=str(path), content=b"old")])
    with path.open("rb") as reader:
        host.write([NewFile(path=str(path), content=b"new")])
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"


def test_create_leaves_what_exists_alone(host: Host, tmp_path: Path) -> None:
    first, second = str(tmp_path / "claim" / "1.1"), str(tmp_path / "claim" / "2.1")
    assert host.create([NewFile(path=first, content=b"mine")]) == [True]
    both = [NewFile(path=path, content=b"yours") for path in (first, second)]
    assert host.create(both) == [False, True]
    assert host.read([first, second]) == {first: b"mine", second: b"yours"}
    assert host.names(str(tmp_path / "claim")) == ["1.1", "2.1"]


def test_a_parent_that_is_a_file_is_a_staging_error(host: Host, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for attempt in (
        lambda: host.make_directories([str(tmp_path / "file" / "x")]),
        lambda: host.write([NewFile(path=str(tmp_path / "file" / "x"), content=b"")]),
        lambda: host.read([str(tmp_path)]),
    ):
        with pytest.raises(StagingError, match=str(tmp_path)):
            attempt()


def test_what_is_gone_already_needs_no_removal(host: Host, tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")
    host.remove([gone])
    host.remove_tree(gone)
    assert host.names(gone) == []


def test_a_tree_is_removed_without_following_links(host: Host, tmp_path: Path) -> None:
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


def test_the_user_is_named(host: Host) -> None:
    assert host.user() == host.run(("id", "-un"), limit=LIMIT).stdout.strip()


def test_files_of_every_legal_name_come_back_as_they_went(host: Host, tmp_path: Path) -> None:
    contents = (b"", b"\0", b"a\0b\n\n", bytes(range(256)) * 300, b"\n")
    files = [
        NewFile(path=f"{tmp_path}/{name}/{name}", content=contents[index % len(contents)])
        for index, name in enumerate(ODD)
    ]
    host.write(files)
    assert host.read([file.path for file in files]) == {file.path: file.content for file in files}
    assert host.names(str(tmp_path)) == sorted(ODD)
    assert host.create(files) == [False] * len(files)
    host.make_directories([f"{tmp_path}/{name}/made/{name}" for name in ODD])
    assert host.names(f"{tmp_path}/-rf/made") == ["-rf"]
    host.remove([file.path for file in files])
    assert host.read([file.path for file in files]) == {}
    for name in ODD:
        host.remove_tree(f"{tmp_path}/{name}")
    assert host.names(str(tmp_path)) == []


def test_many_files_at_once(host: Host, tmp_path: Path) -> None:
    many = [str(tmp_path / f"d{index % 3}" / f"{index:05}{'x' * 150}") for index in range(3000)]
    files = [NewFile(path=path, content=path.encode()) for path in many]
    assert host.create(files[:2000]) == [True] * 2000
    assert host.create(files) == [False] * 2000 + [True] * 1000
    host.write(files)
    assert host.read(many) == {path: path.encode() for path in many}
    host.remove(many)
    host.make_directories(many)
    assert host.names(str(tmp_path / "d1")) == [Path(path).name for path in many[1::3]]
    host.remove_tree(str(tmp_path / "d1"))
    assert host.names(str(tmp_path)) == ["d0", "d2"]


def test_hidden_names_and_an_empty_directory_are_listed(host: Host, tmp_path: Path) -> None:
    assert host.names(str(tmp_path)) == []
    for name in (".hidden", "..two", "plain"):
        (tmp_path / name).touch()
    assert host.names(str(tmp_path)) == ["..two", ".hidden", "plain"]
    assert host.names(str(tmp_path / "plain")) == []
    assert host.names(str(tmp_path / "plain" / "x")) == []


def test_modes_and_the_mask_of_the_user_are_kept(host: Host, tmp_path: Path) -> None:
    mask = int(host.run(("sh", "-c", "umask"), limit=LIMIT).checked(), 8)
    modes = (0o600, 0o644, 0o755, 0o777, 0o444)
    host.write([NewFile(path=f"{tmp_path}/{mode}", content=b"x", mode=mode) for mode in modes])
    host.create([NewFile(path=f"{tmp_path}/c{mode}", content=b"x", mode=mode) for mode in modes])
    for mode in modes:
        assert (tmp_path / str(mode)).stat().st_mode & 0o7777 == mode & ~mask
        assert (tmp_path / f"c{mode}").stat().st_mode & 0o7777 == mode & ~mask
        assert (tmp_path / str(mode)).stat().st_uid == os.geteuid()


@pytest.mark.parametrize(
    "content", [b"", b"%s%d\\n\\0", b"-n", bytes(range(256)) * 16, b"'\"$(x)`\n\0"]
)
def test_one_small_file_arrives_as_it_is(host: Host, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "new" / "-one ' file"
    mask = int(host.run(("sh", "-c", "umask"), limit=LIMIT).checked(), 8)
    host.write([NewFile(path=str(path), content=content)])
    assert path.read_bytes() == content
    assert path.stat().st_mode & 0o7777 == 0o644 & ~mask
    assert list(path.parent.iterdir()) == [path]


def test_a_directory_that_cannot_be_written_keeps_the_later_ones_as_they_are(
    host: Host, tmp_path: Path
) -> None:
    (tmp_path / "one" / "file").mkdir(parents=True)
    paths = [tmp_path / name / "file" for name in ("one", "two")]
    with pytest.raises(StagingError):
        host.write([NewFile(path=str(path), content=b"x") for path in paths])
    assert not paths[1].exists()


def test_of_two_files_of_one_name_the_last_is_written_and_the_first_created(
    host: Host, tmp_path: Path
) -> None:
    path = str(tmp_path / "file")
    both = [NewFile(path=path, content=content) for content in (b"one", b"two")]
    host.write(both)
    assert host.read([path]) == {path: b"two"}
    host.remove([path])
    assert host.create(both) == [True, False]
    assert host.read([path]) == {path: b"one"}


def test_nothing_to_do_is_done(host: Host) -> None:
    host.write([])
    host.make_directories([])
    host.remove([])
    assert host.read([]) == {}
    assert list(host.create([])) == []


def test_create_takes_a_dangling_link_for_a_file(host: Host, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert host.create([NewFile(path=str(tmp_path / "link"), content=b"x")]) == [False]
    assert not (tmp_path / "nowhere").exists()


def test_what_is_wrong_with_a_file_has_its_number(host: Host, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dir" / "inner").mkdir(parents=True)
    file = NewFile(path=str(tmp_path / "dir"), content=b"")
    long = str(tmp_path / ("n" * 300))
    attempts: dict[int, Callable[[], object]] = {
        errno.EISDIR: lambda: host.write([file]),
        errno.ENAMETOOLONG: lambda: host.read([long]),
    }
    for number, attempt in attempts.items():
        with pytest.raises(StagingError) as caught:
            attempt()
        cause = caught.value.__cause__
        assert isinstance(cause, OSError)
        assert cause.errno == number
        assert str(tmp_path) in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dir", "file"]


@pytest.mark.parametrize("method", ["write", "create"])
def test_a_full_disk_is_told_with_path_and_next_step(
    host: Host, full_disk: Path, method: str
) -> None:
    file = NewFile(path=str(full_disk / "file"), content=b"x" * 2_000_000)
    with pytest.raises(StagingError, match=r"No space left on device .*free some space") as caught:
        getattr(host, method)([file])
    assert file.path in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOSPC
    assert host.names(str(full_disk)) == []


def test_a_small_file_finds_no_room_either(host: Host, full_disk: Path) -> None:
    fill, file = full_disk / "fill", full_disk / "file"
    with suppress(OSError), fill.open("wb", buffering=0) as stream:
        while stream.write(bytes(4096)):
            pass
    with pytest.raises(StagingError, match="No space left on device") as caught:
        host.write([NewFile(path=str(file), content=b"x" * 4096)])
    assert str(full_disk) in str(caught.value)
    assert host.names(str(full_disk)) == ["fill"]


def test_a_file_system_that_is_read_only_is_told(host: Host, full_disk: Path) -> None:
    _mount("-o", "remount,ro", full_disk)
    path = str(full_disk / "file")
    attempts: tuple[Callable[[], object], ...] = (
        lambda: host.write([NewFile(path=path, content=b"x")]),
        lambda: host.make_directories([path]),
    )
    for attempt in attempts:
        with pytest.raises(StagingError, match=r"Read-only file system .*read-only") as caught:
            attempt()
        assert path in str(caught.value)


def _mount(*arguments: object) -> None:
    run(["mount", *map(str, arguments)], check=True)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small file system")
    path = tmp_path / "small"
    path.mkdir()
    try:
        _mount("-t", "tmpfs", "-o", "size=1m", "none", path)
    except CalledProcessError:
        pytest.skip("nothing can be mounted here")
    yield path
    run(["umount", str(path)], check=True)
