"""A run whose producer and worker do not see each other's files: all of it goes through the depot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobferry.depot import Courier, depot_of, forget
from jobferry.fetch import fetch, fetch_into
from jobferry.prepare import this_user
from jobferry_common.depot.store import digest_of
from jobferry_common.document import Policy
from jobferry_common.errors import Conflict, NotInDepot, StagingError
from jobferry_common.names import SubmissionId
from jobferry_common.states import ResultsState, RunState
from tests.common.ledger.documents import ALPHA, document, finish
from tests.worker.transfer.apart import LARGE, Ferry
from tests.worker.transfer.moving import LINE, World

if TYPE_CHECKING:
    from jobferry_common.ledger import Ledger
    from tests.testbed.broker import Broker


def test_inputs_arrive_byte_for_byte_with_time_and_permissions(ferry: Ferry) -> None:
    ferry.stage()
    assert ferry.record.staged
    assert [ferry.base(f"task.{i}/in").read_text() for i in range(3)] == [LINE] * 3
    assert ferry.base("common").read_bytes() == LARGE
    there, here = ferry.base("common").stat(), (ferry.source / "common").stat()
    assert (there.st_mtime_ns, there.st_mode) == (here.st_mtime_ns, here.st_mode)
    assert not ferry.base("task.0/in").resolve().is_relative_to(ferry.source)


def test_results_come_home_as_if_the_file_system_were_shared(ferry: Ferry) -> None:
    ferry.stage()
    for job in range(3):
        ferry.succeed(job)
    ferry.end()
    ferry.collect()
    assert (ferry.record.results, ferry.back("task.0/out")) == (ResultsState.DEPOT, False)
    assert ferry.base("task.0/out").exists()
    assert ferry.attend().results is ResultsState.DELIVERED
    outs = [(ferry.source / f"task.{i}/out").read_text() for i in range(3)]
    assert outs == [f"out of {i}\n" for i in range(3)]
    there, here = ferry.base("task.0/out").stat(), (ferry.source / "task.0/out").stat()
    assert (there.st_mtime_ns, there.st_mode) == (here.st_mtime_ns, here.st_mode)


def test_nothing_is_left_when_all_is_home(ferry: Ferry) -> None:
    ferry.stage()
    ferry.succeed(0)
    ferry.end()
    ferry.collect()
    assert ferry.objects()
    assert ferry.ledger.collectable(ALPHA) == []
    ferry.attend()
    assert ferry.ledger.collectable(ALPHA) == [ferry.run]
    ferry.collect()
    assert ferry.record.results is ResultsState.CLEANED
    ferry.attend()
    left = [ferry.objects(), ferry.mirror.parent.exists(), (ferry.source / ".jobferry").exists()]
    assert left == [[], False, False]
    keys = set(map(str, ferry.ledger.redis.keys("jobferry:depot:*")))
    assert keys - {"jobferry:depot:sees", "jobferry:depot:met"} == set()


def test_results_of_jobs_that_ended_come_while_others_wait(ferry: Ferry) -> None:
    ferry.stage()
    ferry.succeed(1)
    ferry.collect()
    assert ferry.attend().results is ResultsState.REMOTE
    assert (ferry.source / "task.1/out").read_text() == "out of 1\n"
    ferry.succeed(2)
    ferry.end(RunState.FAILED)
    ferry.collect()
    ferry.attend()
    assert ferry.back("task.2/out")


def test_of_a_failed_task_the_logs_come_home(ferry: Ferry) -> None:
    ferry.stage()
    ferry.fail(0)
    ferry.end(RunState.FAILED)
    ferry.collect()
    ferry.attend()
    assert (ferry.source / "task.0/err").read_text() == "err of 0\n"


def test_an_input_that_was_not_changed_does_not_come_back(ferry: Ferry) -> None:
    ferry.stage()
    ferry.succeed(0)
    ferry.collect()
    manifests = [
        ferry.client.ledger.redis.hget(f"jobferry:run:{ferry.run}:depot", f"part:{n}")
        for n in range(2)
    ]
    assert manifests[1] is None
    files = depot_of(ferry.client).manifest(str(manifests[0])).files
    assert [entry.path for entry in files] == ["task.0/err", "task.0/log", "task.0/out"]


def test_where_the_worker_sees_the_directory_nothing_is_copied_twice(
    ledger: Ledger, tmp_path: Path, valkey: Broker
) -> None:
    world = Ferry(ledger, tmp_path, valkey, shared=True, forward_common=("common",))
    world.stage()
    assert world.base("common").resolve() == (world.source / "common").resolve()
    assert not world.mirror.exists()
    world.succeed(0)
    world.end()
    world.collect()
    assert (world.record.results, world.back("task.0/out")) == (ResultsState.CLEANED, True)
    world.attend()
    world.client.ledger.forget(world.run)
    before = world.objects()
    world.run = world.client.accept(world.document).run
    assert (before, world.objects()) == ([], [])
    world.stage()
    assert world.base("common").resolve() == (world.source / "common").resolve()


def test_a_worker_that_sees_no_more_asks_for_the_files(
    ledger: Ledger, tmp_path: Path, valkey: Broker
) -> None:
    world = Ferry(ledger, tmp_path, valkey, shared=True, forward_common=("common",))
    world.stage()
    world.end(RunState.CANCELLED)
    world.collect()
    world.attend()
    world.run = world.client.accept(world.document).run
    assert world.objects() == []
    world.shared = False
    with pytest.raises(NotInDepot, match="jobferry watch"):
        world.stage()
    assert "jobferry watch" in world.record.reason
    world.attend()
    world.stage()
    assert (world.record.staged, world.record.reason) == (True, "")
    assert world.base("common").read_bytes() == LARGE


def test_another_directory_of_the_same_name_is_not_taken_for_the_producers(ferry: Ferry) -> None:
    with ferry.apart():
        (ferry.source / "task.0").mkdir(parents=True)
        (ferry.source / "task.0" / "in").write_text("of somebody else")
        World.stage(ferry)
        for path in sorted(ferry.source.parent.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        ferry.source.parent.rmdir()
    assert ferry.base("task.0/in").read_text() == LINE


def test_what_two_runs_need_stays_until_both_are_done(ferry: Ferry) -> None:
    other = document(2, tasks=1, source=str(ferry.source), paths=["task.x"])
    (ferry.source / "task.x").mkdir()
    other = replace(
        other,
        header=replace(other.header, forward_common=("common",), submission=SubmissionId("f" * 12)),
    )
    ferry.client.accept(other)
    ferry.end(RunState.CANCELLED)
    ferry.collect()
    assert ferry.record.results is ResultsState.CLEANED
    assert digest_of(LARGE) in ferry.objects()


def test_a_submission_that_joins_another_leaves_nothing_behind(ferry: Ferry) -> None:
    before = ferry.objects()
    assert ferry.client.accept(ferry.document).attached
    assert ferry.objects() == before
    assert len(list((ferry.source / ".jobferry" / "depot").iterdir())) == 1


def test_results_can_be_fetched_into_another_directory(ferry: Ferry, tmp_path: Path) -> None:
    ferry.stage()
    ferry.succeed(0)
    ferry.end()
    ferry.collect()
    (tmp_path / "other").mkdir()
    with ferry.apart():
        with pytest.raises(Conflict, match="--into"):
            fetch(ferry.client, ferry.run)
        record = fetch_into(ferry.client, ferry.run, str(tmp_path / "other"))
    assert record.results is ResultsState.DELIVERED
    assert (tmp_path / "other" / "task.0" / "out").read_text() == "out of 0\n"
    assert not ferry.back("task.0/out")


def test_what_nobody_fetched_is_kept_until_somebody_gives_it_up(ferry: Ferry) -> None:
    ferry.stage()
    ferry.succeed(0)
    ferry.end()
    ferry.collect()
    before = ferry.objects()
    ferry.client.ledger.forget(ferry.run)
    assert before == ferry.objects() != []
    forget(ferry.client)
    assert ferry.objects() == []


@pytest.mark.parametrize("policy", ["never", "always"])
def test_the_policy_says_when_the_mirror_is_removed(
    ledger: Ledger, tmp_path: Path, valkey: Broker, policy: str
) -> None:
    world = Ferry(ledger, tmp_path, valkey, policy=Policy(clean=policy))
    world.stage()
    world.succeed(0)
    world.end()
    world.collect()
    assert world.mirror.exists()
    world.attend()
    world.collect()
    assert world.mirror.exists() is (policy == "never")


def test_a_later_run_has_the_results_of_an_earlier_one_fetched_first(ferry: Ferry) -> None:
    ferry.stage()
    ferry.succeed(0)
    ferry.fail(1)
    ferry.end(RunState.FAILED)
    ferry.collect()
    first = ferry.run
    ferry.run = ferry.client.accept(ferry.document).run
    assert ferry.record.resumes == first
    ferry.attend()
    assert (ferry.source / "task.0/out").read_text() == "out of 0\n"
    assert ferry.client.ledger.run(first).results is ResultsState.DELIVERED


def test_older_results_never_replace_newer_ones(ferry: Ferry) -> None:
    ferry.stage()
    ferry.fail(0)
    ferry.base("task.0/out").write_text("older")
    ferry.fail(1)
    ferry.end(RunState.FAILED)
    ferry.collect()
    first = ferry.run
    ferry.run = ferry.client.ledger.accept(ferry.document).run  # nobody looks at the first one
    ferry.ledger.change_run(ferry.run, staged=True)
    finish(ferry.ledger, ferry.run, 0)
    (ferry.source / "task.0/log").write_text("newer")
    Courier(ferry.client, first).attend(ferry.client.ledger.run(first))
    assert (ferry.source / "task.0/log").read_text() == "newer"
    assert (ferry.source / "task.1/log").read_text() == "log of 1\n"
    assert "a later run" in ferry.ledger.lack(first)


def test_what_the_depot_lost_is_put_again(ferry: Ferry) -> None:
    ferry.stage()
    ferry.succeed(0)
    ferry.end()
    ferry.collect()
    for path in ferry.depot.glob("objects/*/*"):
        path.unlink()
    assert ferry.attend().results is ResultsState.REMOTE
    assert ferry.ledger.collectable(ALPHA) == [ferry.run]
    ferry.collect()
    assert ferry.attend().results is ResultsState.DELIVERED
    assert (ferry.source / "task.0/out").read_text() == "out of 0\n"


def test_results_are_brought_once_more(ledger: Ledger, tmp_path: Path, valkey: Broker) -> None:
    world = Ferry(ledger, tmp_path, valkey, owner=this_user(), policy=Policy(clean="never"))
    world.stage()
    world.succeed(0)
    world.end()
    world.collect()
    world.attend()
    assert world.attend().results is ResultsState.DELIVERED
    (world.source / "task.0/out").unlink()
    fetch(world.client, world.run)
    world.collect()
    assert world.attend().results is ResultsState.DELIVERED
    assert (world.source / "task.0/out").read_text() == "out of 0\n"


def test_in_place_nothing_can_go_through_a_depot(
    ledger: Ledger, tmp_path: Path, valkey: Broker
) -> None:
    world = Ferry(ledger, tmp_path, valkey, in_place=True)
    assert (world.ledger.header(world.run).depot, world.objects()) == (None, [])
    with pytest.raises(StagingError, match=r"LazyLocal.*choose a cluster with the context Local"):
        world.stage()


def test_many_submissions_are_handed_over_one_refused(ferry: Ferry) -> None:
    wanted = []
    for number in range(3):
        one = document(10 + number, tasks=1, source=str(ferry.source), paths=[f"many.{number}"])
        (ferry.source / f"many.{number}").mkdir()
        wanted.append(
            replace(one, tasks=tuple(replace(task, forward=("in",)) for task in one.tasks))
        )
    for number in (0, 2):
        (ferry.source / f"many.{number}" / "in").write_text(LINE)
    answers = ferry.client.accept_many(wanted)
    assert [isinstance(answer, StagingError) for answer in answers] == [False, True, False]
    ferry.run = ferry.client.ledger.runs()[0].id
    ferry.stage()
    assert ferry.base("many.2/in").read_text() == LINE
