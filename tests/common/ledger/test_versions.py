"""What the last versions stored is carried to its end; what a newer one stored is refused and left untouched."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from jobferry_common.errors import NewerVersion
from jobferry_common.ledger import Ledger
from jobferry_common.states import JobState, RunState
from jobferry_common.versions import VERSION, known
from tests.common.ledger.documents import ALPHA, document
from tests.common.ledger.recorded.record import load, recording
from tests.simulation.bench import Bench
from tests.simulation.fakes import ROOT

if TYPE_CHECKING:
    from redis import Redis


@pytest.mark.parametrize("version", range(1, VERSION + 1))
def test_a_recorded_ledger_is_carried_to_its_end(redis: Redis, version: int) -> None:
    """Its jobs are gone from this scheduler and left nothing behind: they are done again, the finished one is not."""
    bench = Bench(redis)
    load(redis, json.loads(recording(version).read_text()))
    (run,) = bench.ledger.open_runs(ALPHA)
    before = bench.ledger.run(run)
    assert before.counts[JobState.FINISHED] == 1
    root = str(bench.ledger.remembered(f"root of {ALPHA}"))
    bench.world.files[f"{ROOT}/.jobferry/id"] = root.encode()
    bench.ledger.remember(f"scheduler of {ALPHA}", broker="far")
    bench.world.now = before.accepted + 60
    bench.until_final()
    record = bench.ledger.run(run)
    assert (record.state, record.counts[JobState.FINISHED]) == (RunState.FINISHED, 4)
    assert len(bench.world.executions) == 3
    assert bench.ledger.to_collect(run) == [1, 2, 3]  # the results of the first one were brought


def everything(redis: Redis) -> dict[str, object]:
    return {str(key): redis.dump(str(key)) for key in redis.keys("*")}


def test_a_newer_ledger_is_refused_and_left_untouched(bench: Bench) -> None:
    bench.accept()
    bench.step()
    bench.redis.set("jobferry:version", VERSION + 1)
    before = everything(bench.redis)
    with pytest.raises(NewerVersion, match=rf"version {VERSION + 1}.*Install a newer jobferry"):
        bench.step()
    assert everything(bench.redis) == before


@pytest.mark.parametrize("version", ["x", "0", "-1", VERSION + 1])
def test_only_known_versions_are_touched(version: object) -> None:
    with pytest.raises(NewerVersion):
        known("it", version)
    known("it", VERSION)
    known("it", None)


@pytest.fixture
def bench(redis: Redis) -> Bench:
    return Bench(redis)


def test_a_newer_run_is_left_untouched_and_others_go_on(bench: Bench) -> None:
    newer, well = bench.accept(jobs=2), bench.accept(jobs=2)
    bench.steps(1)
    bench.redis.hset(f"jobferry:run:{newer}", "schema", VERSION + 1)
    bench.ledger.wish_cancel(newer)
    bench.restart()
    mine = f"run:{newer}"
    before = {key: found for key, found in everything(bench.redis).items() if mine in key}
    bench.steps(300)
    assert bench.state(well) is RunState.FINISHED
    assert {key: one for key, one in everything(bench.redis).items() if mine in key} == before
    with pytest.raises(NewerVersion, match=newer):
        bench.ledger.run(newer)
    assert [record.id for record in bench.ledger.runs()] == [well]


def test_an_empty_ledger_takes_the_version_of_who_uses_it_first(ledger: Ledger) -> None:
    ledger.check_version()
    ledger.check_version()
    assert ledger.ask("GET", "jobferry:version") == str(VERSION)
    run = ledger.accept(document()).run
    assert ledger.ask("HGET", f"jobferry:run:{run}", "schema") == str(VERSION)
