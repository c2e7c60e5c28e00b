"""Producer and worker that share no file system, as processes in namespaces of their own, with each kind of depot."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from jobferry_common.states import ResultsState, RunState
from tests.services.two_hosts import PATIENCE, TwoHosts, depot_at
from tests.testbed.namespaces import hidden
from tests.testbed.processes import checked, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.testbed.fleet import Fleet
    from tests.testbed.sshd import SshServer
    from tests.testbed.work import Work

pytestmark = [pytest.mark.needs("valkey", "namespaces")]

LARGE = os.urandom(3_000_000)
KINDS = ("file", "redis", pytest.param("sftp", marks=pytest.mark.needs("sshd")))


@pytest.fixture(params=KINDS)
def hosts(request: pytest.FixtureRequest, short_path: Path) -> Iterator[TwoHosts]:
    """Two hosts with a depot of each kind between them."""
    server = request.getfixturevalue("sshd") if request.param == "sftp" else None
    with TwoHosts(short_path, depot_at(request.param, short_path, server)) as hosts:
        yield hosts


@pytest.fixture
def folder(short_path: Path) -> Iterator[TwoHosts]:
    """Two hosts with a shared folder between them."""
    with TwoHosts(short_path, depot_at("file", short_path, None)) as hosts:
        yield hosts


@pytest.fixture
def broker(short_path: Path) -> Iterator[TwoHosts]:
    """Two hosts with nothing but the broker between them."""
    with TwoHosts(short_path, depot_at("redis", short_path, None)) as hosts:
        yield hosts


def test_work_goes_there_and_comes_back_byte_for_byte(hosts: TwoHosts) -> None:
    hosts.write(
        "test ! -e {home} && cat in ../large > out".replace("{home}", str(hosts.home / "work")),
        "../tools/twice in > out && mkdir -p more/empty && cp -p ../large more/",
        "echo no minimum >&2; exit 3",
        forward_common_files=["large", "tools"],
        continue_on_failure=True,
    )
    source = hosts.home / "work"
    (source / "large").write_bytes(LARGE)
    (source / "tools" / "none").mkdir(parents=True)
    (source / "tools" / "twice").write_text('#!/bin/sh\ncat "$1" "$1"\n')
    (source / "tools" / "twice").chmod(0o755)
    text = (hosts.home / "submission.json").read_text()
    (hosts.home / "submission.json").write_text(
        text.replace('"backward_files": ["out"]', '"backward_files": ["*"]')
    )
    done = hosts.producer("submit", "submission.json", code=1)
    assert "no minimum" in done.stdout + done.stderr
    assert hosts.result("t0/out").read_bytes() == b"input 0\n" + LARGE
    assert hosts.result("t1/out").read_text() == "input 1\n" * 2
    assert hosts.result("t1/more/large").read_bytes() == LARGE
    assert hosts.result("t1/more/empty").is_dir()
    assert set(hosts.result("t2/err").read_text().splitlines()) == {"no minimum"}
    run = hosts.record()
    assert set(hosts.producer("logs", run.id, "2").stderr.splitlines()) == {"no minimum"}
    wait_until(lambda: hosts.record().results is ResultsState.CLEANED, "the cluster is cleaned")
    wait_until(lambda: hosts.remains() == [], "nothing is left in the depot")
    assert [path.name for path in (hosts.far / "root").iterdir()] == [".jobferry"]


@pytest.mark.needs("sshd")
def test_a_cluster_behind_ssh_sees_neither_of_them(short_path: Path, sshd: SshServer) -> None:
    remote = short_path / "store" / "cluster"  # hidden from both: only ssh leads there
    remote.mkdir(parents=True)
    login = {"hostname": "127.0.0.1", "port": sshd.port, "username": "root"}
    profile = {
        "context_type": "SSH",
        "remote_root": str(remote),
        "remote_profile": {
            **login,
            "key_filename": str(sshd.key),
            "host_key_policy": "accept-new",
        },
    }
    with TwoHosts(short_path, depot_at("redis", short_path, None), **profile) as hosts:
        hosts.write("cat in ../large > out", forward_common_files=["large"])
        (hosts.home / "work" / "large").write_bytes(LARGE)
        hosts.producer("submit", "submission.json")
        assert hosts.result("t0/out").read_bytes() == b"input 0\n" + LARGE
        wait_until(lambda: hosts.remains() == [], "nothing is left in the depot")


def test_who_does_not_wait_fetches_later(folder: TwoHosts) -> None:
    folder.write("cat in > out")
    run = folder.producer("submit", "submission.json", "--exit-on-submit").stdout.strip()
    wait_until(
        lambda: folder.record().results is ResultsState.DEPOT,
        "results are in the depot",
        limit=PATIENCE,
    )
    assert not folder.result("t0/out").exists()
    assert "jobferry fetch" in folder.producer("logs", run).stderr
    assert "jobferry fetch" in " ".join(folder.producer("status", run).stdout.split())
    refused = folder.producer("clean", run, code=2)
    assert "jobferry fetch" in refused.stderr
    folder.producer("fetch", run)
    assert folder.result("t0/out").read_text() == "input 0\n"
    assert folder.record().state is RunState.FINISHED


def test_results_go_into_another_directory_where_their_own_is_not_seen(folder: TwoHosts) -> None:
    folder.write("cat in > out")
    run = folder.producer("submit", "submission.json", "--exit-on-submit").stdout.strip()
    wait_until(
        lambda: folder.record().results is ResultsState.DEPOT,
        "results are in the depot",
        limit=PATIENCE,
    )
    (folder.home / "work").rename(folder.home / "moved")
    assert "--into" in folder.producer("fetch", run, code=2).stderr
    folder.producer("fetch", run, "--into", str(folder.home / "moved"))
    assert (folder.home / "moved" / "t0" / "out").read_text() == "input 0\n"
    again = folder.producer("fetch", run, "--into", str(folder.home / "moved"), code=2)
    assert "nothing of the results" in again.stderr


def test_where_both_see_one_file_system_nothing_goes_through_the_depot(
    fleet_of: Callable[..., Fleet], make_work: Callable[..., Work], tmp_path: Path
) -> None:
    (tmp_path / "depot").mkdir()
    (tmp_path / "remote").mkdir()
    remote = {"context_type": "Local", "remote_root": str(tmp_path / "remote")}
    depot = {"url": str(tmp_path / "depot")}
    fleet = fleet_of({"here": {"batch_type": "Shell", **remote}}, depot=depot)
    for number in range(2):
        work = make_work("cat in > out", name=f"work{number}")
        handle = fleet.submit(work.submission(cluster="here"))
        assert handle.wait(PATIENCE).state is RunState.FINISHED
        assert work.everything_came_back()
        assert fleet.ledger().redis.hget(f"jobferry:run:{handle.id}:depot", "via") == "paths"
        inputs = (fleet.ledger().header(handle.id).depot or {})["inputs"]
        assert bool(inputs) is (number == 0)  # from the first one it is known
    assert list((tmp_path / "depot").glob("objects/*/*")) == []


def test_a_full_depot_pauses_collecting_until_there_is_room(broker: TwoHosts) -> None:
    broker.write("head -c 12000000 /dev/urandom > out", "head -c 12000000 /dev/urandom > out")
    worker = broker.worker
    assert worker is not None
    worker.stop()
    broker.serve({"limit_mib": 16})
    run = broker.producer("submit", "submission.json", "--exit-on-submit").stdout.strip()
    wait_until(lambda: "is full" in broker.record().reason, "the run says why", limit=PATIENCE)
    shown = broker.producer("status", run).stdout
    assert "is full" in " ".join(shown.split())
    broker.producer("watch", run)
    assert [broker.result(f"t{n}/out").stat().st_size for n in range(2)] == [12_000_000] * 2
    assert broker.record().state is RunState.FINISHED


def test_a_folder_on_a_full_disk_says_so(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from jobferry_common.depot.folder import Folder
from jobferry_common.depot.store import digest_of
from jobferry_common.errors import DepotFull
store, data = Folder(Path(sys.argv[1])), b"x" * 200_000
store.id()
try:
    store.put(digest_of(data), [data])
except DepotFull as error:
    print(error, store.has([digest_of(data)]), len(list(Path(sys.argv[1], "incoming").iterdir())))
"""
    argv = [*hidden(tmp_path), sys.executable, "-c", program, str(tmp_path)]  # 64 kB are there
    said = checked(argv)
    assert "is full (No space left on device)" in said
    assert said.endswith("set() 0\n")


def test_a_producer_that_is_killed_while_it_fetches_goes_on_later(broker: TwoHosts) -> None:
    broker.write("head -c 50000000 /dev/urandom > out; sha256sum < out > sum", "cat in > out")
    text = (broker.home / "submission.json").read_text()
    (broker.home / "submission.json").write_text(text.replace('["out"]', '["out", "sum*"]', 1))
    run = broker.producer("submit", "submission.json", "--exit-on-submit").stdout.strip()
    wait_until(
        lambda: broker.record().results is ResultsState.DEPOT,
        "results are in the depot",
        limit=PATIENCE,
    )
    producer = broker.start_producer("fetch", run)
    marks = broker.home / "work" / ".jobferry" / "depot"
    while (
        not [*marks.glob("*.parts/*")] and producer.alive()
    ):  # no pause: it must not get to its end
        pass
    producer.kill()
    assert broker.record().results is ResultsState.DEPOT
    assert not broker.result("t0/out").exists()
    broker.producer("fetch", run)
    assert broker.result("t0/out").stat().st_size == 50_000_000
    found = hashlib.sha256(broker.result("t0/out").read_bytes()).hexdigest()
    assert broker.result("t0/sum").read_text().split()[0] == found
    assert list(broker.result(".").rglob(".jobferry*")) == []


def test_a_worker_that_is_killed_while_it_puts_goes_on_later(broker: TwoHosts) -> None:
    broker.write("head -c 50000000 /dev/urandom > out")
    run = broker.producer("submit", "submission.json", "--exit-on-submit").stdout.strip()
    client = broker.broker.client()
    worker = broker.worker
    assert worker is not None
    while not client.zcard("jobferry:depot:writing") and worker.alive():  # no pause, as above
        pass
    worker.signal(signal.SIGKILL)
    worker.kill()
    assert broker.record().results is ResultsState.REMOTE
    for writer in map(str, client.zrange("jobferry:depot:writing", 0, -1)):
        client.zadd("jobferry:depot:writing", {writer: 1})  # its time is over
    broker.serve({})
    broker.producer("watch", run)
    assert broker.result("t0/out").stat().st_size == 50_000_000
    wait_until(lambda: broker.remains() == [], "nothing is left in the depot")
    assert int(str(client.get("jobferry:depot:used"))) == 0
