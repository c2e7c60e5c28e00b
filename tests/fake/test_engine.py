"""The fake cluster itself: jobs really run, wait, end and vanish, whichever process asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.fake.engine import Engine
from tests.testbed.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fake.engine import Element, Job


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """A cluster with two slots."""
    engine = Engine(tmp_path / "a cluster")
    engine.configure(slots=2)
    yield engine
    engine.stop()


def _submit(engine: Engine, script: str, **known: object) -> Job:
    directory = str(engine.home)
    fields: dict[str, Any] = {
        "name": "x",
        "user": "root",
        "queue": "q",
        "directory": directory,
        **known,
    }
    out = f"{directory}/out of %i.%a"
    return engine.submit(script=script, out=out, env={"JOB": "%i[%a] it's"}, **fields)


def _ended(engine: Engine, job: Job) -> list[Element]:
    def over() -> bool:
        return all(one.phase == "done" for one in engine.elements() if one.job == job)

    wait_until(over, f"{job.number} ended")
    return [one for one in engine.elements() if one.job == job]


def test_a_job_runs_and_leaves_its_code(engine: Engine) -> None:
    (element,) = _ended(engine, job := _submit(engine, 'echo "$JOB"; exit 3'))
    assert (element.code, element.how, element.index) == (3, "exit", None)
    assert (engine.home / f"out of {job.number}.").read_text() == f"{job.number}[] it's\n"


def test_elements_share_the_slots(engine: Engine) -> None:
    job = _submit(engine, 'echo "$JOB"', indices=tuple(range(1, 9)))
    elements = _ended(engine, job)
    assert [one.index for one in elements] == list(range(1, 9))
    assert {one.code for one in elements} == {0}
    assert (engine.home / f"out of {job.number}.8").read_text() == f"{job.number}[8] it's\n"


def test_what_finds_no_slot_waits_and_goes_on_by_itself(engine: Engine) -> None:
    blockers = [_submit(engine, "until [ -e go ]; do sleep 0.05; done") for _ in range(2)]
    waiting = _submit(engine, "touch ran")
    phases = [one.phase for one in engine.elements()]
    assert phases[-1] == "queued"
    (engine.home / "go").touch()
    for job in (*blockers, waiting):
        assert _ended(engine, job)[0].code == 0
    assert (engine.home / "ran").exists()


def test_a_second_job_starts_beside_the_first(engine: Engine) -> None:
    for _ in range(2):
        _submit(engine, "sleep 300")
        wait_until(lambda: engine.elements()[-1].phase == "running", "it runs")
    assert [one.phase for one in engine.elements()] == ["running", "running"]


def test_what_waits_or_runs_is_cancelled(engine: Engine) -> None:
    running = _submit(engine, "sleep 300 & sleep 300")
    wait_until(lambda: engine.elements()[0].phase == "running", "it runs")
    held = _submit(engine, "touch ran", held=True)
    for job in (running, held):
        engine.cancel(job.number)
        assert _ended(engine, job)[0].how == "cancelled"
    assert not (engine.home / "ran").exists()
    assert engine.cancel(running.number) == []


def test_a_held_job_runs_once_it_is_released(engine: Engine) -> None:
    job = _submit(engine, "true", held=True)
    assert engine.elements()[0].phase == "held"
    engine.release(job.number)
    assert _ended(engine, job)[0].code == 0


def test_a_limit_ends_a_job(engine: Engine) -> None:
    assert _ended(engine, _submit(engine, "sleep 300", limit=1))[0].how == "timeout"


def test_what_vanished_is_nowhere(engine: Engine) -> None:
    job = _submit(engine, "sleep 300")
    engine.vanish(job.number)
    assert engine.elements() == []
    assert engine.jobs() == {}
