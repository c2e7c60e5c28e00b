"""Every host: streams into and out of commands."""

from __future__ import annotations

import io
import os
import tarfile
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import pytest

from jobferry_worker.hosts.streams import TIMED_OUT
from tests.testbed.processes import lives, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobferry_worker.hosts import Host

SILENCE = timedelta(seconds=60)
SHORT = timedelta(seconds=0.3)
BIG = os.urandom(1 << 20) * 5


def test_what_is_fed_arrives(host: Host, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    pieces = (BIG[at : at + 100_000] for at in range(0, len(BIG), 100_000))
    done = host.feed(("dd", f"of={copy}", "status=none"), pieces, silence=SILENCE)
    assert done.checked() == ""
    assert copy.read_bytes() == BIG


def test_a_command_that_answers_much_while_it_is_fed_does_not_get_stuck(host: Host) -> None:
    done = host.feed(("tee", "/dev/stderr"), [b"x" * len(BIG)], silence=SILENCE)
    assert (len(done.checked()), len(done.stderr)) == (len(BIG), len(BIG))


def test_a_command_that_wants_no_more_says_why(host: Host) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield BIG

    done = host.feed(("sh", "-c", "echo full >&2; exit 3"), endless(), silence=SILENCE)
    assert (done.exit_code, done.stderr) == (3, "full\n")


def test_what_the_iterator_raises_ends_the_command(host: Host, tmp_path: Path) -> None:
    def failing() -> Iterator[bytes]:
        yield b"some"
        raise FileNotFoundError(2, "No such file", "/gone")

    with pytest.raises(FileNotFoundError):
        host.feed(("sh", "-c", f"cat; touch {tmp_path}/ended"), failing(), silence=SILENCE)
    assert not (tmp_path / "ended").exists()


def test_commands_may_be_run_from_within_the_iterator(host: Host) -> None:
    def asking() -> Iterator[bytes]:
        yield host.run(("echo", "asked"), limit=SILENCE).stdout.encode()

    assert host.feed(("cat",), asking(), silence=SILENCE).stdout == "asked\n"


@pytest.mark.parametrize("script", ["sleep 600", "exec sleep 600 >&- 2>&-"])
def test_a_command_in_which_nothing_moves_is_ended(
    host: Host, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobferry_worker.hosts.streams._END_SECONDS", 0.1)
    assert host.feed(("sh", "-c", script), [b""], silence=SHORT).exit_code == TIMED_OUT
    with host.output(("sh", "-c", f"echo begun; {script}"), silence=SHORT) as output:
        assert output.read() == b"begun\n"
        assert output.end().exit_code == TIMED_OUT


def test_a_stream_is_read_in_pieces_and_tells_how_it_ended(host: Host) -> None:
    script = "cat; echo bad >&2; exit 4"
    with host.output(("sh", "-c", script), silence=SILENCE, stdin=BIG) as output:
        first = output.read(10)
        assert (len(first), BIG.startswith(first)) == (10, True)
        assert first + output.read() == BIG
        assert output.read(5) == b""
        done = output.end()
    assert (done.exit_code, done.stdout, done.stderr) == (4, "", "bad\n")


def test_tarfile_reads_it(host: Host, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(BIG)
    with host.output(("tar", "-c", "-C", str(tmp_path), "a"), silence=SILENCE) as output:
        with tarfile.open(fileobj=cast("IO[bytes]", output), mode="r|") as archive:
            contents = [(archive.extractfile(member) or io.BytesIO()).read() for member in archive]
        assert output.end().exit_code == 0
    assert contents == [BIG]


def test_what_is_left_early_is_ended(host: Host, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    with host.output(("sh", "-c", f"echo $$ > {pid}; exec yes"), silence=SILENCE) as output:
        assert output.read(4) == b"y\ny\n"
    wait_until(lambda: not lives(int(pid.read_text())), "the command ended")


def test_a_command_that_does_not_exist_answers_127(host: Host) -> None:
    assert host.feed(("no-such-command-here",), [b"x"], silence=SILENCE).exit_code == 127
    with host.output(("no-such-command-here",), silence=SILENCE) as output:
        assert (output.read(), output.end().exit_code) == (b"", 127)
