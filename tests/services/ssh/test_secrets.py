"""A password in a submission, for the embedded stack: it opens the way, and is found nowhere but in its own file."""

from __future__ import annotations

import contextlib
import os
import secrets
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis

from jobferry import Submission
from jobferry.client import connect
from jobferry.stack.home import Home
from jobferry.stack.secrets import forget_unused
from jobferry_common.errors import BadInput
from jobferry_common.settings import Settings, load_settings
from tests.testbed.processes import checked, wait_until
from tests.testbed.ssh_stand_in import StandIn
from tests.testbed.stacks import own_stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

pytestmark = pytest.mark.needs("valkey")


@pytest.fixture
def settings(short_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Settings of a user who has set nothing, but for where the stack lies and how patient it is."""
    (home / ".ssh").mkdir(mode=0o700)
    timings = {"PROBE": "0.5", "PROBE_MAX": "1", "LOOK": "1"}
    quick = {f"JOBFERRY_TIMINGS__{name}_SECONDS": value for name, value in timings.items()}
    with own_stack(short_path, monkeypatch, JOBFERRY_LOG_LEVEL="DEBUG", **quick) as settings:
        yield settings


@pytest.fixture
def password() -> str:
    return f"geheim-{secrets.token_hex(8)}"


@pytest.fixture
def server(home: Path, settings: Settings, password: str) -> Iterator[StandIn]:
    with StandIn(password=password) as server:
        (home / ".ssh" / "known_hosts").write_text(server.known_hosts)
        yield server


def machine(server: StandIn, work: Path, password: str) -> dict[str, Any]:
    return {
        "batch_type": "Shell",
        "context_type": "SSH",
        "local_root": str(work),
        "remote_root": str(work / "remote"),
        "remote_profile": {
            "hostname": "127.0.0.1",
            "port": server.port,
            "username": "alice",
            "password": password,
        },
    }


def submission(server: StandIn, work: Path, password: str) -> Submission:
    (work / "task").mkdir(exist_ok=True)
    (work / "task" / "in").write_text("hello\n")
    task = {
        "command": "cat in > out",
        "task_work_path": "task",
        "forward_files": ["in"],
        "backward_files": ["out"],
    }
    given = {
        "work_base": ".",
        "machine": machine(server, work, password),
        "resources": {"group_size": 1},
        "task_list": [task],
    }
    return Submission.load_from_dict(given)


def test_a_password_is_found_nowhere_but_in_its_file(  # noqa: PLR0913, PLR0917
    settings: Settings,
    server: StandIn,
    password: str,
    tmp_path: Path,
    short_path: Path,
    home: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A defect of DPDispatcher: passwords in world-readable JSON and in exceptions."""
    work = submission(server, tmp_path, password)
    work.clean = False  # so that all that was written is still there
    handle = work.submit()
    kept = handle.client.kept.load(handle.id)
    assert kept is not None
    assert handle.wait().state == "finished"
    wait_until((tmp_path / "task" / "out").exists, "the result is here")
    shown = [repr(work.__dict__["machine"]), str(work.serialize(if_static=False))]
    shown += [checked(["ps", "-wweo", "args="]), *capfd.readouterr()]
    assert password not in "".join(shown)
    holders = _files_with(password, short_path, home, tmp_path)
    assert [path.parent.name for path in holders] == ["secrets"]
    assert holders[0].stat().st_mode & 0o777 == 0o600
    assert _keys_with(password) == []
    assert _keys_with(holders[0].name)  # so something would be found
    with connect() as client:
        told = (kept, client.ledger.clusters(), client.events(None, "0"))
    assert holders[0].name in repr(kept)
    assert password not in repr(told)


def test_a_wrong_password_is_told_without_it_and_set_right_by_submitting_again(
    settings: Settings, server: StandIn, password: str, tmp_path: Path, short_path: Path, home: Path
) -> None:
    wrong = f"falsch-{password}"
    first = submission(server, tmp_path, wrong).submit()
    wait_until(lambda: wrong in server.heard, "it was tried")
    log = Home.of(settings).log("worker")
    wait_until(lambda: "does not let the worker's user in" in log.read_text(), "it is told")
    second = submission(server, tmp_path, password).submit()
    assert second.attached
    assert second.id == first.id
    assert second.wait().state == "finished"
    assert len([text for text in server.heard if text == wrong]) == 1
    assert _files_with(wrong, short_path, home, tmp_path) == []
    assert _keys_with(wrong) == []


def test_secrets_that_nobody_needs_are_removed(
    settings: Settings, server: StandIn, password: str, tmp_path: Path
) -> None:
    handle = submission(server, tmp_path, password).submit()
    handle.wait()
    place = Home.of(settings)
    (kept,) = place.secrets.iterdir()
    stray = place.secrets / "0000000000-password"
    stray.touch(mode=0o600)
    with connect() as client:
        forget_unused(place, client.redis, settings.prefix)
        assert stray.exists()
        for path in (kept, stray):
            os.utime(path, (0, 0))
        forget_unused(place, client.redis, settings.prefix)
        assert not stray.exists()
        needed = any(client.redis.scan_iter(f"{settings.prefix}profile:*"))
        assert kept.exists() is needed


def test_for_another_broker_a_password_is_refused(
    settings: Settings, password: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBFERRY_BROKER", "redis://broker.invalid:6379/0")
    with StandIn(password=password) as server, pytest.raises(BadInput) as caught:
        submission(server, tmp_path, password).submit()
    assert "a secret cannot travel with a submission" in str(caught.value)
    assert "env:NAME" in str(caught.value)
    assert password not in str(caught.value)


def test_a_dry_run_keeps_nothing(settings: Settings, password: str, tmp_path: Path) -> None:
    with StandIn(password=password) as server:
        work = submission(server, tmp_path, password)
        document = work.prepare()
    assert password not in repr(document)
    assert not Home.of(settings).secrets.exists()


def _files_with(text: str, *directories: Path) -> list[Path]:
    return [
        path
        for directory in directories
        for path in directory.rglob("*")
        if path.is_file() and not path.is_symlink() and text.encode() in path.read_bytes()
    ]


def _keys_with(text: str) -> list[bytes]:
    """Return the keys of the broker that hold a text: dumped, as they are read, or once they are unpacked."""
    settings = load_settings()
    with _raw(Home.of(settings)) as redis:
        keys = list(redis.scan_iter(b"*"))
        assert any(b":pages" in key for key in keys)
        return [key for key in keys if any(text.encode() in held for held in _held(redis, key))]


def _raw(home: Home) -> Redis:
    return Redis(unix_socket_path=str(home.socket), password=home.password())


def _held(redis: Any, key: bytes) -> Iterator[bytes]:
    yield key
    yield redis.dump(key) or b""
    readers: Mapping[bytes, Callable[[], Iterable[bytes]]] = {
        b"string": lambda: [redis.get(key)],
        b"hash": lambda: [part for pair in redis.hgetall(key).items() for part in pair],
        b"set": lambda: redis.smembers(key),
        b"zset": lambda: redis.zrange(key, 0, -1),
        b"list": lambda: redis.lrange(key, 0, -1),
        b"stream": lambda: [
            part for _, fields in redis.xrange(key) for pair in fields.items() for part in pair
        ],
        b"none": list,
    }
    for value in readers[redis.type(key)]():
        yield value or b""
        for wbits in (zlib.MAX_WBITS, -zlib.MAX_WBITS, zlib.MAX_WBITS | 16):
            with contextlib.suppress(zlib.error):
                yield zlib.decompress(value, wbits)
