"""The depot when something is wrong: it is full, damaged, another one, or a link leads out of the directory."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobferry.depot import Courier
from jobferry_common.depot.books import Standings
from jobferry_common.depot.depot import forget_depots
from jobferry_common.errors import DepotError, DepotFull, NotInDepot, StagingError
from jobferry_common.names import SubmissionId
from jobferry_common.settings import Settings
from jobferry_common.states import JobState, ResultsState
from jobferry_worker.transfer.depot import Passage
from jobferry_worker.transfer.mirror import Mirror
from tests.worker.transfer.apart import LARGE, Ferry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobferry_common.depot.tree import Item
    from jobferry_common.ledger import Ledger
    from tests.testbed.broker import Broker


def test_a_full_depot_pauses_collecting_and_says_so(
    ledger: Ledger, tmp_path: Path, valkey: Broker
) -> None:
    world = Ferry(ledger, tmp_path, valkey, url="redis:")
    world.limit(1)
    world.stage()
    world.succeed(0)
    world.base("task.0/out").unlink()
    world.base("task.0/out").mkdir()
    for number in range(3):
        world.base(f"task.0/out/large{number}").write_bytes(os.urandom(400_000))
    with pytest.raises(DepotFull):
        world.collect()
    assert "is full" in world.record.reason
    assert world.ledger.to_collect(world.run) == [0]
    world.attend()
    world.collect()
    assert world.record.reason == ""
    world.end()
    world.collect()
    assert world.attend().results is ResultsState.DELIVERED
    large = sorted((world.source / "task.0" / "out").iterdir())
    assert [path.name for path in large] == ["large0", "large1", "large2"]


def test_a_result_larger_than_the_depot_is_named(
    ledger: Ledger, tmp_path: Path, valkey: Broker
) -> None:
    world = Ferry(ledger, tmp_path, valkey, url="redis:")
    world.limit(1)
    world.stage()
    world.succeed(0)
    world.base("task.0/out").unlink()
    world.base("task.0/out").mkdir()
    world.base("task.0/out/a").write_bytes(b"x" * 1_200_000)
    world.base("task.0/out/b").write_bytes(b"it comes")
    with pytest.raises(
        StagingError,
        match=r"task.0/out/a has 1.1 MiB, more than .* \(1 MiB\): raise depot.limit_mib",
    ):
        world.collect()
    world.attend()
    assert (world.source / "task.0" / "out" / "b").read_text() == "it comes"
    world.limit(2)
    world.collect()
    world.end()
    world.collect()
    assert world.attend().results is ResultsState.DELIVERED
    assert (world.source / "task.0" / "out" / "a").stat().st_size == 1_200_000


def test_a_worker_without_the_depot_says_what_it_needs(ferry: Ferry) -> None:
    ferry.use(Settings())
    with pytest.raises(DepotError, match=r"none is set: expected \[depot\] url"):
        ferry.stage()
    assert "none is set" in ferry.record.reason
    assert ferry.record.counts[JobState.PENDING] == 3


def test_a_worker_that_lacks_the_secret_of_the_depot_says_so_on_the_run(ferry: Ferry) -> None:
    ferry.use(ferry.settings_with("sftp://depot.example/x", options={"password": "env:NO_SUCH"}))
    with pytest.raises(DepotError, match="NO_SUCH"):
        ferry.stage()
    assert "its files cannot be moved now: the depot" in ferry.record.reason
    assert "NO_SUCH" in ferry.record.reason


def test_a_damaged_input_is_asked_for_again(ferry: Ferry) -> None:
    for path in ferry.depot.glob("objects/*/*"):
        path.chmod(0o600)
        path.write_bytes(b"damaged")
    for _ in range(4):  # manifest, pack, large file: one after the other
        if not ferry.record.staged:
            try:
                ferry.stage()
            except NotInDepot:
                ferry.attend()
    assert ferry.base("common").read_bytes() == LARGE


def test_nothing_is_written_through_a_link_out_of_the_directory(
    ferry: Ferry, tmp_path: Path
) -> None:
    ferry.stage()
    ferry.succeed(0)
    (ferry.base("task.0") / "out").unlink()
    (ferry.base("task.0") / "out").mkdir()
    (ferry.base("task.0") / "out" / "file").write_text("result")
    ferry.end()
    ferry.collect()
    (tmp_path / "elsewhere").mkdir()
    (ferry.source / "task.0" / "out").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StagingError, match="remove that link"):
        ferry.attend()
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert ferry.record.results is ResultsState.DEPOT
    (ferry.source / "task.0" / "out").unlink()
    assert ferry.attend().results is ResultsState.DELIVERED
    assert (ferry.source / "task.0/out/file").read_text() == "result"


def test_a_file_that_is_linked_elsewhere_is_replaced_not_written_through(
    ferry: Ferry, tmp_path: Path
) -> None:
    ferry.stage()
    ferry.succeed(0)
    ferry.end()
    ferry.collect()
    (tmp_path / "precious").write_text("mine")
    (ferry.source / "task.0" / "out").symlink_to(tmp_path / "precious")
    ferry.attend()
    assert (tmp_path / "precious").read_text() == "mine"
    assert (ferry.source / "task.0" / "out").read_text() == "out of 0\n"


def test_a_job_that_appends_to_its_input_poisons_nobody(
    ledger: Ledger, tmp_path: Path, valkey: Broker
) -> None:
    for symlink in (True, False):
        place = tmp_path / str(symlink)
        place.mkdir()
        ledger.redis.flushall()
        forget_depots()
        world = Ferry(ledger, place, valkey, symlink=symlink, forward_common=("common",))
        world.stage()
        with world.base("common").open("ab") as file:
            file.write(b"poison")
        cached = next(Path(world.cluster.root, ".jobferry/depot/objects").glob("*/*"))
        assert cached.read_bytes() == LARGE


def test_results_are_never_looked_for_in_another_depot(ferry: Ferry, tmp_path: Path) -> None:
    ferry.stage()
    ferry.succeed(0)
    ferry.end()
    ferry.collect()
    (tmp_path / "another").mkdir()
    mine = ferry.client.settings
    ferry.client.settings = ferry.settings_with(str(tmp_path / "another"))
    with pytest.raises(DepotError, match=r"another one, .*another, is set"):
        Courier(ferry.client, ferry.run).fetch(ferry.record)
    assert ferry.attend().results is ResultsState.DEPOT
    ferry.client.settings = mine
    assert ferry.attend().results is ResultsState.DELIVERED


def test_a_submission_that_does_not_fit_leaves_nothing_behind(
    ledger: Ledger, tmp_path: Path, valkey: Broker
) -> None:
    world = Ferry(ledger, tmp_path, valkey, url="redis:", forward_common=("common",))
    world.limit(1)
    world.client.settings = world.settings
    before = ledger.redis.get("jobferry:depot:used")
    other = replace(world.document.header, submission=SubmissionId("f" * 12))
    (world.source / "task.0" / "in").write_bytes(os.urandom(2_000_000))
    words = r"task.0/in has 1.9 MiB, more than the depot .* may ever hold \(1 MiB\): raise depot\.limit_mib"
    with pytest.raises(StagingError, match=words):
        world.client.accept(replace(world.document, header=other))
    for name in ("task.0/in", "common"):
        (world.source / name).write_bytes(os.urandom(700_000))
    with pytest.raises(
        StagingError, match=r"need 1.3 MiB together .*(task.0/in|common) with 0.7 MiB"
    ):
        world.client.accept(replace(world.document, header=other))
    (world.source / "common").write_bytes(b"")
    ledger.redis.set(ledger.key("depot:used"), 900_000)  # others fill it for the moment
    with pytest.raises(DepotFull, match=r"is full.*depot\.limit_mib"):
        world.client.accept(replace(world.document, header=other))
    ledger.redis.set(ledger.key("depot:used"), before or 0)
    assert ledger.redis.get("jobferry:depot:used") == before
    assert len(list((world.source / ".jobferry" / "depot").iterdir())) == 1


def test_results_that_are_given_up_leave_the_depot(ferry: Ferry) -> None:
    ferry.stage()
    ferry.succeed(0)
    ferry.end()
    ferry.collect()
    ferry.clean()
    assert (ferry.record.results, ferry.objects()) == (ResultsState.CLEANED, [])
    assert not ferry.mirror.exists()


def test_a_worker_without_the_mirror_brings_results_all_the_same(
    ledger: Ledger, tmp_path: Path, valkey: Broker
) -> None:
    world = Ferry(ledger, tmp_path, valkey, symlink=False)
    world.stage()
    world.succeed(0)
    shutil.rmtree(world.mirror.parent)  # another worker, on another machine
    world.end()
    world.collect()
    assert world.attend().results is ResultsState.DELIVERED
    assert (world.source / "task.0" / "out").read_text() == "out of 0\n"


def test_results_that_are_lost_while_they_are_put_are_put_again(
    ferry: Ferry, monkeypatch: pytest.MonkeyPatch
) -> None:
    ferry.stage()
    ferry.succeed(0)
    ferry.end()
    sent = Mirror.sent

    def lose(mirror: Mirror, items: Iterable[Item]) -> None:
        sent(mirror, items)
        Standings(ferry.ledger).lose(ferry.run)  # a producer that found a damaged part, right now

    with monkeypatch.context() as patch:
        patch.setattr(Mirror, "sent", lose)
        ferry.collect()
    assert (ferry.record.results, ferry.base("task.0/out").exists()) == (ResultsState.REMOTE, True)
    ferry.collect()
    assert ferry.attend().results is ResultsState.DELIVERED
    assert (ferry.source / "task.0" / "out").read_text() == "out of 0\n"


def test_results_that_are_lost_between_the_last_look_and_the_end_are_not_called_delivered(
    ferry: Ferry, monkeypatch: pytest.MonkeyPatch
) -> None:
    ferry.stage()
    ferry.succeed(0)
    ferry.collect()
    ferry.attend()
    ferry.end()
    released = Passage.release

    def lose(passage: Passage) -> None:
        released(passage)
        Standings(ferry.ledger).lose(ferry.run)

    with monkeypatch.context() as patch:
        patch.setattr(Passage, "release", lose)
        ferry.collect()
    assert (ferry.record.results, ferry.base("task.0/out").exists()) == (ResultsState.REMOTE, True)
    ferry.collect()
    assert ferry.attend().results is ResultsState.DELIVERED


def test_a_depot_that_loses_everything_is_tried_less_and_less_and_the_run_says_so(
    ferry: Ferry,
) -> None:
    ferry.stage()
    ferry.succeed(0)
    ferry.end()
    for _ in range(2):
        ferry.collect()
        for path in ferry.depot.glob("objects/*/*"):
            path.unlink()
        assert ferry.attend().results is ResultsState.REMOTE
    parts = Standings(ferry.ledger).of(ferry.run).parts
    with pytest.raises(StagingError, match="2 times by now: the next try is 5 s after the last"):
        ferry.collect()
    assert "look at that depot" in ferry.record.reason
    assert Standings(ferry.ledger).of(ferry.run).parts == parts
    ferry.ledger.clock = lambda: time.time() + 5.0
    ferry.collect()
    assert (ferry.attend().results, ferry.record.reason) == (ResultsState.DELIVERED, "")


def test_what_another_workers_mirror_had_is_brought_from_the_cluster_again(ferry: Ferry) -> None:
    ferry.stage()
    ferry.succeed(0)
    ferry.collect()
    shutil.rmtree(ferry.mirror.parent)
    ferry.end()
    ferry.collect()
    for path in ferry.depot.glob("objects/*/*"):
        path.unlink()
    assert ferry.attend().results is ResultsState.REMOTE
    ferry.collect()
    assert ferry.attend().results is ResultsState.DELIVERED
    assert (ferry.source / "task.0" / "out").read_text() == "out of 0\n"


def test_a_folder_that_was_removed_and_made_again_is_gone_on_with(ferry: Ferry) -> None:
    def anew() -> None:
        shutil.rmtree(ferry.depot)
        ferry.depot.mkdir()
        forget_depots()

    anew()
    with pytest.raises(NotInDepot):
        ferry.stage()
    ferry.attend()
    ferry.stage()
    ferry.succeed(0)
    ferry.end()
    ferry.collect()
    anew()
    assert ferry.attend().results is ResultsState.REMOTE
    ferry.collect()
    assert ferry.attend().results is ResultsState.DELIVERED
    assert (ferry.source / "task.0" / "out").read_text() == "out of 0\n"
    ferry.collect()
    ferry.attend()
    assert ferry.objects() == []


def test_a_folder_of_the_same_name_that_was_never_met_is_told_apart(ferry: Ferry) -> None:
    shutil.rmtree(ferry.depot)
    ferry.depot.mkdir()
    forget_depots()
    ferry.ledger.redis.delete("jobferry:depot:met")  # as on another machine
    with pytest.raises(DepotError, match="have its file `id` say"):
        ferry.stage()
