"""What everybody may know of clusters."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from jobferry_common.errors import Conflict, UnknownId
from jobferry_common.events import EventStream
from jobferry_common.ledger import Ledger
from jobferry_common.states import RunState
from tests.common.ledger.documents import document, reserve

if TYPE_CHECKING:
    from redis import Redis


def announce(ledger: Ledger, name: str) -> None:
    ledger.announce(
        name, account="alice@hpc", batch_type="Slurm", context_type="Local", worker="login1:77"
    )


def test_an_announced_cluster_is_known(ledger: Ledger) -> None:
    announce(ledger, "beta")
    announce(ledger, "alpha")
    run = ledger.accept(document(tasks=5)).run
    reserve(ledger, run, [0, 1])
    ledger.set_cluster("alpha", last_pass=12.5, failures=2)
    assert [one.name for one in ledger.clusters()] == ["alpha", "beta"]
    alpha = ledger.cluster("alpha")
    assert (alpha.account, alpha.batch_type, alpha.worker) == ("alice@hpc", "Slurm", "login1:77")
    assert (alpha.in_flight, alpha.waiting, alpha.last_pass, alpha.failures) == (2, 3, 12.5, 2)


def test_an_unknown_cluster_is_told_with_the_known_ones(ledger: Ledger) -> None:
    announce(ledger, "beta")
    with pytest.raises(UnknownId, match=r"'gamma'. Known: beta. Is its worker running\?"):
        ledger.cluster("gamma")


def test_a_cluster_is_forgotten_with_all_that_is_known_of_it(ledger: Ledger) -> None:
    announce(ledger, "beta")
    ledger.set_cluster("beta", paused="gone")
    ledger.forget_cluster("beta")
    assert ledger.clusters() == []
    announce(ledger, "beta")
    assert ledger.cluster("beta").paused == ""


def test_a_cluster_is_not_forgotten_while_runs_are_open_there(ledger: Ledger) -> None:
    announce(ledger, "alpha")
    run = ledger.accept(document()).run
    with pytest.raises(Conflict, match=f"alpha has 1 open run, such as {run}"):
        ledger.forget_cluster("alpha")
    assert [one.name for one in ledger.clusters()] == ["alpha"]
    ledger.wish_cancel(run)
    ledger.change_run(run, state=RunState.CANCELLED)
    ledger.forget_cluster("alpha")
    assert ledger.clusters() == []


def test_a_pause_and_its_end_are_events(ledger: Ledger) -> None:
    announce(ledger, "alpha")
    ledger.set_cluster("alpha", paused="too many vanished", paused_by="jobferry")
    ledger.set_cluster("alpha", failures=1)
    ledger.set_cluster("alpha", paused="")
    events = EventStream(ledger).read(None, "0", timedelta())
    assert [(event.kind, event.cluster, event.state, event.reason) for event in events] == [
        ("cluster", "alpha", "paused", "too many vanished"),
        ("cluster", "alpha", "resumed", ""),
    ]


def test_a_drain_is_told_from_a_pause_and_its_beginning_is_kept(redis: Redis) -> None:
    now = 100.0
    ledger = Ledger(redis, clock=lambda: now)
    announce(ledger, "alpha")
    ledger.set_cluster("alpha", paused="disks", paused_by="operator")
    now = 200.0
    ledger.set_cluster("alpha", draining="yes")
    now = 300.0
    ledger.set_cluster("alpha", paused="new disks")
    alpha = ledger.cluster("alpha")
    assert (alpha.since, alpha.draining, alpha.halt) == (200.0, True, "drained: new disks")
    events = EventStream(ledger).read(None, "0", timedelta())
    assert [(event.state, event.reason, event.at) for event in events] == [
        ("paused", "disks", 100.0),
        ("draining", "disks", 200.0),
        ("draining", "new disks", 300.0),
    ]


def test_a_field_that_does_not_exist_is_refused(ledger: Ledger) -> None:
    with pytest.raises(TypeError, match="in_flight, speed"):
        ledger.set_cluster("alpha", speed=1, in_flight=2)


def test_a_profile_stays_as_long_as_a_run_needs_it(ledger: Ledger) -> None:
    machine = {"batch_type": "Shell", "remote_root": "/scratch"}
    runs = [ledger.accept(document(i, machine=machine, cluster="inline-1")).run for i in range(2)]
    assert ledger.profile("inline-1") == machine
    assert ledger.profile("alpha") is None
    for run, left in zip(runs, (machine, None), strict=True):
        ledger.wish_cancel(run)
        ledger.change_run(run, state=RunState.CANCELLED)
        ledger.forget(run)
        assert ledger.profile("inline-1") == left
