"""The embedded stack for real: started by whoever comes first, shared, mended, and gone when nobody needs it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from redis.exceptions import RedisError
from typer.testing import CliRunner

from jobferry import connect as client_of
from jobferry import stack
from jobferry.cli.main import app
from jobferry.doctor import examine
from jobferry.stack.home import Home
from jobferry.stack.record import is_alive, read_record
from jobferry_common.broker import connect
from jobferry_common.errors import BrokerUnreachable
from jobferry_common.settings import Settings, load_settings
from tests.common.ledger.documents import document
from tests.testbed.processes import checked, lives, wait_until
from tests.testbed.stacks import own_stack
from tests.testbed.work import PATIENCE, Work

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.needs("valkey")


@pytest.fixture
def settings(short_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Settings of a user who has set nothing, but for where the stack lies and how soon it ends."""
    with own_stack(short_path, monkeypatch) as settings:
        yield settings


def supervisor(settings: Settings) -> int:
    record = read_record(Home.of(settings))
    assert record is not None
    return record.pid


def ensure_in_a_process() -> str:
    program = (
        "from jobferry import stack; from jobferry_common.settings import load_settings; "
        "print(stack.ensure_broker(load_settings()))"
    )
    return checked([sys.executable, "-c", program], env=dict(os.environ))


def children(pid: int) -> list[tuple[int, str]]:
    """Return pid and command line of the children of a process."""
    lines = checked(["ps", "-wweo", "ppid=,pid=,args="]).splitlines()
    rows = [line.split(None, 2) for line in lines]
    return [(int(child), args) for parent, child, args in rows if parent == str(pid)]


def child(settings: Settings, word: str) -> int:
    """Return the pid of the server or the worker."""
    found = [pid for pid, args in children(supervisor(settings)) if word in args]
    assert len(found) == 1
    return found[0]


def test_the_first_command_starts_it_and_the_next_one_joins(settings: Settings) -> None:
    assert not stack.status(settings).runs
    url = stack.ensure_broker(settings)
    first = supervisor(settings)
    assert stack.ensure_broker(settings) == url
    assert supervisor(settings) == first
    status = stack.up(settings)
    assert status.runs
    assert status.worker
    assert status.url == url


def test_commands_at_the_same_moment_share_one_stack(settings: Settings) -> None:
    with ThreadPoolExecutor(4) as pool:
        urls = {future.result() for future in [pool.submit(ensure_in_a_process) for _ in range(4)]}
    assert len(urls) == 1
    assert len(children(supervisor(settings))) == 2


def test_its_broker_is_private_durable_and_asks_for_a_password(settings: Settings) -> None:
    url = stack.ensure_broker(settings)
    home = Home.of(settings)
    assert home.directory.stat().st_mode & 0o777 == 0o700
    redis = connect(url)
    wanted = {
        "appendonly": "yes",
        "appendfsync": "always",
        "maxmemory-policy": "noeviction",
        "port": "0",
    }
    assert {name: redis.config_get(name)[name] for name in wanted} == wanted
    redis.close()
    with pytest.raises(BrokerUnreachable, match="refuses"):
        connect(f"redis+socket://{home.socket}?virtual_host=0")
    shown = "".join(args for _, args in children(supervisor(settings)))
    assert home.password() not in shown


def test_its_data_outlives_it(settings: Settings) -> None:
    redis = connect(stack.ensure_broker(settings))
    redis.set("kept", "yes")
    redis.close()
    assert not stack.down(settings).runs
    redis = connect(stack.ensure_broker(settings))
    assert redis.get("kept") == "yes"
    redis.close()


def test_a_server_that_crashed_is_started_again_with_its_data(settings: Settings) -> None:
    redis = connect(stack.ensure_broker(settings))
    redis.set("kept", "yes")
    old = child(settings, "server")
    os.kill(old, signal.SIGKILL)

    def back() -> bool:
        try:
            return redis.get("kept") == "yes" and child(settings, "server") != old
        except (OSError, AssertionError, RedisError):
            return False

    wait_until(back, "the server is back")
    redis.close()


def test_a_worker_that_was_killed_is_started_again(settings: Settings) -> None:
    stack.up(settings)
    old = child(settings, "celery")
    os.kill(old, signal.SIGKILL)
    wait_until(
        lambda: (
            [pid for pid, args in children(supervisor(settings)) if "celery" in args]
            not in ([], [old])
        ),
        "another worker",
    )


def test_what_a_killed_supervisor_left_behind_is_no_hindrance(settings: Settings) -> None:
    stack.up(settings)
    old, worker = supervisor(settings), child(settings, "celery")
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: not is_alive(Home.of(settings)), "its lock is free")
    assert not stack.status(settings).runs
    assert stack.up(settings).runs
    assert supervisor(settings) != old
    wait_until(lambda: not lives(worker), "the orphaned worker has ended")


@pytest.mark.parametrize("server", ["stays", "dies"])
def test_who_waits_starts_a_killed_stack_again(
    settings: Settings, tmp_path: Path, server: str
) -> None:
    """The supervisor of a waiting run is killed, and no other command comes to mend it."""
    work = Work(tmp_path, ["sleep 6; cat in > out"])
    place = {"batch_type": "Shell", "context_type": "LazyLocal", "local_root": str(tmp_path)}
    handle = work.submission(machine=place).submit(client=client_of(settings=settings))
    wait_until(work.log.exists, "the task runs")
    old, broker = supervisor(settings), child(settings, "server")
    os.kill(old, signal.SIGKILL)
    if server == "dies":
        os.kill(broker, signal.SIGKILL)
    wait_until(lambda: not is_alive(Home.of(settings)), "its lock is free")
    assert handle.result(PATIENCE).ok
    assert supervisor(settings) != old
    assert work.starts() == [1]
    handle.client.close()


def test_who_waits_for_a_stack_that_was_stopped_is_told_how_to_start_it(
    settings: Settings,
) -> None:
    with client_of(settings=settings) as client:
        run = client.accept(document(tasks=1)).run
        handle = client.handle(run)
        stack.down(settings)
        for look in (handle.status, lambda: handle.wait(timeout=0.1)):
            with pytest.raises(BrokerUnreachable, match="`jobferry up` starts it again") as caught:
                look()
            assert "config.toml" not in str(caught.value)


def test_who_waits_leaves_a_stack_alone_that_was_stopped(settings: Settings) -> None:
    client = client_of(settings=settings)
    stack.down(settings)
    client.close()
    assert not stack.revive(settings)
    assert not stack.status(settings).runs


def test_it_ends_by_itself_when_nobody_needs_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBFERRY_STACK__IDLE_MINUTES", "0.05")
    redis = connect(stack.ensure_broker(load_settings()))
    redis.ping()
    time.sleep(6)
    assert is_alive(Home.of(settings)), "a client is connected"
    redis.close()
    wait_until(lambda: not is_alive(Home.of(settings)), "it has ended")
    assert read_record(Home.of(settings)) is None
    assert stack.ensure_broker(load_settings())


def test_it_stays_while_a_run_is_open(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBFERRY_STACK__IDLE_MINUTES", "0.05")
    url = stack.ensure_broker(load_settings())
    redis = connect(url)
    redis.zadd("jobferry:open", {"5e7-1": 1})
    redis.close()
    time.sleep(6)
    assert is_alive(Home.of(settings))


def test_it_ends_when_its_directory_is_removed(settings: Settings) -> None:
    stack.up(settings)
    home, pid = Home.of(settings), supervisor(settings)
    shutil.rmtree(home.directory)
    wait_until(lambda: not lives(pid), "the supervisor has ended")
    assert stack.up(settings).runs
    assert supervisor(settings) != pid


def test_a_server_that_does_not_start_is_told_with_its_own_words(settings: Settings) -> None:
    home = Home.of(settings)
    (home.data / "appendonlydir").write_text("in the way")
    with pytest.raises(BrokerUnreachable, match="did not start"):
        stack.ensure_broker(settings)
    assert not is_alive(home)


def test_a_full_disk_is_told_before_anything_is_started(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobferry.stack.server.LEAST_FREE_BYTES", 2**62)
    from jobferry.stack.server import server_argv

    with pytest.raises(BrokerUnreachable, match="MB are free: make room"):
        server_argv(Home.of(settings))


def test_a_path_too_long_for_a_socket_works(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBFERRY_STACK__DIRECTORY", str(tmp_path / ("long" * 30)))
    long = load_settings()
    assert connect(stack.ensure_broker(long)).ping()
    assert not stack.down(long).runs


def test_a_cluster_added_to_the_settings_is_served(settings: Settings, home: Path) -> None:
    stack.up(settings)
    config = home / ".config" / "jobferry" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(
        '[clusters.here]\nbatch_type = "Shell"\ncontext_type = "Local"\n'
        f'local_root = "{home}"\nremote_root = "{home}/remote"\n'
    )
    wait_until(
        lambda: any("jobferry.here" in args for _, args in children(supervisor(settings))),
        "the worker serves it",
    )


def test_the_doctor_finds_a_stack_that_works(settings: Settings) -> None:
    stack.up(settings)
    findings = {finding.name: finding for finding in examine(settings)}
    assert findings["embedded stack"].ok
    assert findings["broker"].ok
    assert findings["broker's settings"].ok
    assert findings["clocks"].ok
    assert findings["beat"].ok


def test_it_is_stopped_though_the_settings_were_spoilt(
    settings: Settings, short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.ensure_broker(settings)
    config = short_path / "config.toml"
    config.write_text("brokr = 'x'\n")
    with monkeypatch.context() as patch:
        patch.setenv("JOBFERRY_CONFIG", str(config))
        done = CliRunner().invoke(app, ["down"], prog_name="jobferry")
    assert done.exit_code == 0
    assert "did you mean 'broker'" in done.stderr
    assert "The embedded stack is stopped" in done.stderr
    assert not stack.status(settings).runs


def test_the_doctor_starts_nothing(settings: Settings) -> None:
    findings = list(examine(settings))
    assert [finding.name for finding in findings] == ["settings", "embedded stack"]
    assert not stack.status(settings).runs
