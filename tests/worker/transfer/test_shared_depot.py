"""A run that clusters share and whose files go through a depot: each takes what it claimed, and puts what it made."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from jobferry.depot import accept, depot_of
from jobferry.fetch import fetch
from jobferry.prepare import this_user
from jobferry_common.depot.books import Standings
from jobferry_common.depot.depot import forget_depots
from jobferry_common.depot.settings import DepotSettings
from jobferry_common.depot.ticket import Ticket
from jobferry_common.document import Policy
from jobferry_common.errors import NotInDepot, StagingError
from jobferry_common.settings import Settings
from jobferry_common.states import JobState, ResultsState, RunState
from jobferry_worker.cluster import open_cluster
from jobferry_worker.transfer.depot import Passage
from tests.common.ledger.documents import ALPHA, move
from tests.common.ledger.test_sharing import BETA, BOTH, claim, reserve
from tests.worker.transfer.apart import LARGE, Ferry
from tests.worker.transfer.moving import LINE, raising

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobferry_common.ledger import Ledger
    from jobferry_common.names import ClusterName, RunId
    from tests.testbed.broker import Broker


class SharedFerry(Ferry):
    """A world in two halves whose run two clusters share; one of them acts at a time."""

    def _accept(self) -> RunId:
        self.document, accepted = accept(self.client, self.document, reuse=True)
        return accepted.run

    def at(self, name: ClusterName) -> SharedFerry:
        """Have another cluster act; where its mirrors lie is the same directory for both."""
        root = self._root / f"root of {name}"
        root.mkdir(exist_ok=True)
        depot = DepotSettings(url=str(self.depot), directory=self._root / "mirrors")
        self.settings = self.settings.model_copy(update={"depot": depot})
        self.cluster = open_cluster(name, self._profile(root), self.settings)
        return self

    def take(self, name: ClusterName, jobs: int) -> None:
        """Have a cluster claim jobs, and bring their files."""
        claim(self.ledger, self.run, name, jobs)
        self.at(name).stage()

    def do(self, name: ClusterName, *jobs: int, common: str = "") -> None:
        """Have jobs succeed at a cluster."""
        self.at(name)
        assert reserve(self.ledger, self.run, name, list(jobs))
        for job in jobs:
            self._leave(job, out=True)
            Path(self.layout.done(job)).write_text("1 2\n")
            move(self.ledger, self.run, job, JobState.EXITED, JobState.FINISHED)
        if common:
            self.base("said").write_text(common)

    def all_done(self) -> None:
        """Have alpha do two jobs and beta one, and the run end."""
        self.take(ALPHA, 2)
        self.take(BETA, 1)
        self.do(ALPHA, 0, 1, common="of alpha\n")
        self.do(BETA, 2, common="of beta\n")
        self.end()

    def outs(self) -> list[str]:
        paths = [self.source / f"task.{job}/out" for job in range(3)]
        return [path.read_text() if path.exists() else "" for path in paths]

    def parts(self) -> dict[int, str]:
        """Return which cluster put which part."""
        standings = Standings(self.ledger)
        numbers = range(standings.of(self.run).parts)
        return {number: str(standings.part(self.run, number)[1]) for number in numbers}

    def lose(self, number: int) -> None:
        """Remove a part from the depot, as somebody who tidied there by hand."""
        digest, _ = Standings(self.ledger).part(self.run, number)
        for one in {digest, *(e.digest for e in depot_of(self.client).manifest(digest).files)}:
            (self.depot / "objects" / one[:2] / one).unlink()


ALL = [f"out of {job}\n" for job in range(3)]
NAMES = {str(name) for name in BOTH}


@pytest.fixture
def ferry(ledger: Ledger, tmp_path: Path, valkey: Broker) -> Iterator[SharedFerry]:
    """A run of two clusters that do not see the files of their producer."""
    more: dict[str, Any] = {"forward_common": ("common",), "backward_common": ("said",)}
    world = SharedFerry(ledger, tmp_path, valkey, targets=BOTH, owner=this_user(), **more)
    yield world
    world.client.close()
    forget_depots()


def mirrored(ferry: SharedFerry, name: ClusterName) -> list[str]:
    files = ferry._root / "mirrors" / f"{ferry.run}@{name}" / "files"
    return sorted(str(path.relative_to(files)) for path in files.rglob("*") if path.is_file())


def test_each_cluster_takes_the_files_of_what_it_claimed(ferry: SharedFerry) -> None:
    ferry.take(ALPHA, 1)
    assert mirrored(ferry, ALPHA) == ["common", "task.0/in"]
    ferry.take(BETA, 2)
    assert mirrored(ferry, BETA) == ["common", "task.1/in", "task.2/in"]
    assert ferry.base("common").read_bytes() == LARGE
    assert [ferry.base(f"task.{i}").exists() for i in range(3)] == [False, True, True]
    assert ferry.base("task.2/in").read_text() == LINE
    assert ferry.ledger.pool(ferry.run, BETA, now=1e12).staged == 2


def test_what_was_brought_is_left_alone_and_more_is_brought_later(ferry: SharedFerry) -> None:
    ferry.take(ALPHA, 1)
    before = ferry.base("common").resolve().stat()
    ferry.take(ALPHA, 1)  # of a worker that was started again: it knows of nothing
    after = ferry.base("common").resolve().stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert mirrored(ferry, ALPHA) == ["common", "task.0/in", "task.1/in"]
    ferry.do(ALPHA, 0)
    ferry.collect()
    (digest, at), files = Standings(ferry.ledger).part(ferry.run, 0), depot_of(ferry.client)
    paths = [entry.path for entry in files.manifest(digest).files]
    assert (at, paths) == (ALPHA, ["task.0/err", "task.0/log", "task.0/out"])


def test_results_that_wait_in_a_mirror_are_not_taken_for_inputs(
    ferry: SharedFerry, monkeypatch: pytest.MonkeyPatch
) -> None:
    ferry.take(ALPHA, 1)
    ferry.do(ALPHA, 0)
    with ferry.base("common").open("ab") as file:  # it leads into the mirror
        file.write(b"more")
    with monkeypatch.context() as patch:
        patch.setattr(Passage, "send", raising(errno.ENOSPC))
        with pytest.raises(StagingError):
            ferry.collect()
    ferry.take(ALPHA, 2)
    ferry.do(ALPHA, 1, 2)
    ferry.end()
    ferry.collect()
    assert (ferry.attend().results, ferry.outs()) == (ResultsState.DELIVERED, ALL)
    assert (ferry.source / "common").read_bytes() == LARGE + b"more"


def test_a_worker_without_a_depot_leaves_the_work_to_others_and_says_so(ferry: SharedFerry) -> None:
    claim(ferry.ledger, ferry.run, ALPHA, 3)
    ferry.at(ALPHA)
    timings = ferry.settings.timings.model_copy(update={"grace_seconds": 0.0})
    ferry.use(Settings(timings=timings))
    with pytest.raises(StagingError):
        ferry.stage()
    assert "depot" in ferry.record.reason
    assert ferry.run in ferry.cluster.memory.unstageable
    assert ferry.ledger.refused(ferry.run) == {}  # its settings can be mended
    ferry.take(BETA, 3)
    assert ferry.ledger.pool(ferry.run, BETA, now=1e12).staged == 3
    assert ferry.record.reason == ""


def test_results_of_all_clusters_come_home_and_nothing_is_left(ferry: SharedFerry) -> None:
    ferry.all_done()
    ferry.at(ALPHA).collect()
    assert ferry.ledger.places(ferry.run) == {ALPHA: "depot", BETA: "remote"}
    assert (ferry.attend().results, ferry.outs()) == (ResultsState.REMOTE, [*ALL[:2], ""])
    assert ferry.ledger.places(ferry.run) == {ALPHA: "delivered", BETA: "remote"}
    assert ferry.ledger.collectable(ALPHA) == [ferry.run]
    ferry.collect()  # cleans what alpha had
    assert ferry.objects() != []
    ferry.at(BETA).collect()
    assert ferry.record.results is ResultsState.DEPOT
    assert set(ferry.parts().values()) == NAMES
    assert (ferry.attend().results, ferry.outs()) == (ResultsState.DELIVERED, ALL)
    ferry.collect()
    assert (ferry.record.results, ferry.objects()) == (ResultsState.CLEANED, [])
    ferry.attend()
    assert [*(ferry._root / "mirrors").glob(f"{ferry.run}*")] == []
    assert not (ferry.source / ".jobferry").exists()
    keys = set(map(str, ferry.ledger.redis.keys("jobferry:depot:*")))
    assert keys - {"jobferry:depot:sees", "jobferry:depot:met"} == set()


def test_a_cluster_that_notes_its_cleaning_when_the_run_is_forgotten_does_not_fail(
    ferry: SharedFerry, monkeypatch: pytest.MonkeyPatch
) -> None:
    ferry.all_done()
    for name in BOTH:
        ferry.at(name).collect()
    ferry.attend()
    ferry.at(ALPHA).collect()
    noted = type(ferry.ledger).place_results

    def then_forgotten(*arguments: Any) -> None:
        noted(*arguments)
        ferry.ledger.forget(ferry.run)

    monkeypatch.setattr(type(ferry.ledger), "place_results", then_forgotten)
    ferry.at(BETA).clean()
    assert ferry.ledger.runs() == []


def test_common_results_come_side_by_side(ferry: SharedFerry) -> None:
    ferry.all_done()
    for name in BOTH:
        ferry.at(name).collect()
    ferry.attend()
    assert (ferry.source / "said").read_text() == "of alpha\n"
    assert (ferry.source / "said.beta").read_text() == "of beta\n"
    assert "said.beta that of beta" in ferry.record.reason


def test_what_one_cluster_put_and_was_lost_only_that_cluster_puts_again(
    ferry: SharedFerry,
) -> None:
    ferry.all_done()
    for name in BOTH:
        ferry.at(name).collect()
    lost = next(number for number, at in ferry.parts().items() if at == BETA)
    ferry.lose(lost)
    assert ferry.attend().results is ResultsState.REMOTE
    assert ferry.outs() == [*ALL[:2], ""]
    assert ferry.ledger.places(ferry.run) == {ALPHA: "delivered", BETA: "remote"}
    before = set(ferry.parts())
    ferry.at(BETA).collect()
    assert {ferry.parts()[number] for number in set(ferry.parts()) - before} == {"beta"}
    assert (ferry.attend().results, ferry.outs()) == (ResultsState.DELIVERED, ALL)


def test_a_part_that_is_lost_while_others_wait_keeps_none_of_them(ferry: SharedFerry) -> None:
    ferry.all_done()
    for name in BOTH:
        ferry.at(name).collect()
    ferry.lose(0)
    ferry.attend()
    assert ferry.outs() == ["", "", ALL[2]]
    assert ferry.ledger.places(ferry.run) == {ALPHA: "remote", BETA: "delivered"}
    ferry.at(BETA).collect()  # is cleaned, while alpha still has to put
    ferry.at(ALPHA).collect()
    assert (ferry.attend().results, ferry.outs()) == (ResultsState.DELIVERED, ALL)


def test_inputs_stay_for_a_cluster_that_joins_when_another_has_ended(ferry: SharedFerry) -> None:
    ferry.take(ALPHA, 1)
    ferry.do(ALPHA, 0)
    ferry.collect()
    ferry.attend()
    ferry.take(BETA, 2)
    assert ferry.base("task.2/in").read_text() == LINE


def test_what_a_cluster_had_put_before_it_was_given_up_comes(ferry: SharedFerry) -> None:
    ferry.take(ALPHA, 2)
    ferry.do(ALPHA, 0)
    ferry.collect()
    ferry.ledger.abandon(ferry.run, ALPHA)
    ferry.take(BETA, 2)
    ferry.do(BETA, 1, 2)
    ferry.end()
    ferry.collect()
    assert ferry.record.results is ResultsState.DEPOT
    assert (ferry.attend().results, ferry.outs()) == (ResultsState.DELIVERED, ALL)
    assert ferry.ledger.places(ferry.run) == {ALPHA: "given up", BETA: "delivered"}


def test_a_run_waits_for_parts_of_a_cluster_given_up_although_the_other_sees_the_files(
    ferry: SharedFerry,
) -> None:
    ferry.take(ALPHA, 1)
    ferry.do(ALPHA, 0)
    ferry.collect()
    ferry.ledger.abandon(ferry.run, ALPHA)
    ferry.shared = True
    ferry.take(BETA, 2)
    ferry.do(BETA, 1, 2)
    ferry.end()
    ferry.collect()
    assert (ferry.record.results, ferry.outs()) == (ResultsState.DEPOT, ["", *ALL[1:]])
    assert (ferry.attend().results, ferry.outs()) == (ResultsState.DELIVERED, ALL)
    ferry.attend()
    assert ferry.objects() == []


def test_what_a_cluster_given_up_had_put_and_was_lost_is_told_and_not_waited_for(
    ferry: SharedFerry,
) -> None:
    ferry.take(ALPHA, 1)
    ferry.do(ALPHA, 0)
    ferry.collect()
    ferry.ledger.abandon(ferry.run, ALPHA)
    ferry.lose(0)
    ferry.take(BETA, 2)
    ferry.do(BETA, 1, 2)
    ferry.end()
    ferry.collect()
    assert (ferry.attend().results, ferry.outs()) == (ResultsState.DELIVERED, ["", *ALL[1:]])
    assert "of alpha, which was given up, are lost" in ferry.ledger.lack(ferry.run)


def test_results_are_brought_once_more_from_each_cluster(
    ledger: Ledger, tmp_path: Path, valkey: Broker
) -> None:
    world = SharedFerry(
        ledger, tmp_path, valkey, targets=BOTH, owner=this_user(), policy=Policy(clean="never")
    )
    world.all_done()
    for name in BOTH:
        world.at(name).collect()
    assert world.attend().results is ResultsState.DELIVERED
    world.attend()
    assert world.objects() == []
    for job in range(3):
        (world.source / f"task.{job}/out").unlink()
    fetch(world.client, world.run)
    assert world.record.results is ResultsState.REMOTE
    for name in BOTH:
        world.at(name).collect()
    assert (world.attend().results, world.outs()) == (ResultsState.DELIVERED, ALL)
    world.client.close()


def test_a_cluster_that_sees_the_files_works_beside_one_that_does_not(ferry: SharedFerry) -> None:
    ferry.take(ALPHA, 1)
    ferry.shared = True
    ferry.take(BETA, 2)
    assert mirrored(ferry, BETA) == []
    assert ferry.base("task.2/in").resolve() == (ferry.source / "task.2/in").resolve()
    ferry.do(BETA, 1, 2)
    ferry.shared = False
    ferry.do(ALPHA, 0)
    ferry.end()
    ferry.collect()
    ferry.shared = True
    ferry.at(BETA).collect()
    assert ferry.outs() == ["", *ALL[1:]]
    assert (ferry.attend().results, ferry.outs()) == (ResultsState.DELIVERED, ALL)


def test_where_all_clusters_saw_the_files_nothing_is_put_and_who_does_not_asks(
    ferry: SharedFerry,
) -> None:
    ferry.shared = True
    ferry.take(ALPHA, 2)
    ferry.take(BETA, 1)
    ferry.ledger.wish_cancel(ferry.run)
    ferry.ledger.unclaim(ferry.run, ALPHA)
    ferry.ledger.unclaim(ferry.run, BETA)
    for job in range(3):
        move(ferry.ledger, ferry.run, job, JobState.CANCELLED)
    ferry.end(RunState.CANCELLED)
    for name in BOTH:
        ferry.at(name).collect()
    ferry.attend()
    assert ferry.objects() == []
    ferry.run = ferry._accept()
    ticket = Ticket.of(ferry.ledger.header(ferry.run))
    assert ticket is not None
    assert (ticket.inputs, ferry.objects()) == ("", [])
    ferry.shared = False
    with pytest.raises(NotInDepot, match="jobferry watch"):
        ferry.take(BETA, 2)
    assert ferry.ledger.refused(ferry.run) == {}
    assert ferry.ledger.pool(ferry.run, BETA, now=1e12).open == 3
    ferry.attend()
    ferry.take(BETA, 2)
    assert ferry.base("task.1/in").read_text() == LINE
