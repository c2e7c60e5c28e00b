"""A run that makes passes fail for a reason that nobody foresaw stops no other, and is set aside after some tries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.ledger.setting_aside import TRIES
from jobferry_common.states import JobState, RunState
from jobferry_worker.reconcile import culprits, observe, submit
from jobferry_worker.reconcile import plan as planning
from jobferry_worker.reconcile.snapshot import RunView

if TYPE_CHECKING:
    from jobferry_common.names import RunId
    from tests.simulation.bench import Bench

_S = JobState


def spoil(monkeypatch: pytest.MonkeyPatch, where: str, bad: RunId) -> None:
    """Have one run raise what nobody foresaw: where it is looked at, planned, or acted upon."""
    match where:
        case "observing":
            monkeypatch.setattr(observe, "RunView", _raising(RunView, bad))
        case "planning":
            monkeypatch.setattr(culprits, "plan", _planning(bad))
        case _:
            monkeypatch.setattr(submit, "_written", _raising(submit._written, bad))


def _raising(original: Any, bad: RunId) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        record = kwargs.get("record")
        if bad in args or (record is not None and record.id == bad):
            msg = "nobody thought of this"
            raise ZeroDivisionError(msg)
        return original(*args, **kwargs)

    return call


def _planning(bad: RunId) -> Any:
    def plan(s: Any) -> Any:
        if bad in s.runs or any(run == bad for run, _ in s.due):
            msg = "nobody thought of this"
            raise ZeroDivisionError(msg)
        return planning.plan(s)

    return plan


@pytest.mark.parametrize("where", ["observing", "planning", "applying"])
def test_a_run_that_makes_passes_fail_is_set_aside(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    bad, well = bench.accept(jobs=2), bench.accept(jobs=2)
    with monkeypatch.context() as spoilt:
        spoil(spoilt, where, bad)
        for _ in range(TRIES + 2):
            bench.step()
        bench.steps(300)
    assert bench.state(well) is RunState.FINISHED
    assert bench.counts(bad) == {_S.PENDING: 2}
    (aside,) = bench.ledger.aside()
    assert (aside.id, aside.where) == (bad, "alpha")
    assert "nobody thought of this" in aside.why
    bench.steps(60)
    assert bench.counts(bad) == {_S.PENDING: 2}
    bench.ledger.put_back(bad)
    assert bench.ledger.aside() == []
    bench.until_final()
    assert bench.state(bad) is RunState.FINISHED


def test_a_run_that_fails_now_and_then_is_not_set_aside(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = bench.accept(jobs=2)
    with monkeypatch.context() as spoilt:
        spoil(spoilt, "applying", bad)
        bench.step()
    assert bench.ledger.aside() == []
    bench.until_final()
    assert bench.state(bad) is RunState.FINISHED


def test_what_is_the_fault_of_no_run_stays_the_fault_of_the_pass(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.accept()

    def plan(s: object) -> None:
        raise ZeroDivisionError

    def none(p: object, s: object) -> bool:
        return False

    monkeypatch.setattr(culprits, "plan", plan)
    monkeypatch.setattr(culprits, "_blame", none)
    with pytest.raises(ZeroDivisionError):
        bench.step()
