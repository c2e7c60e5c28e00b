"""Commands about runs that clusters share, and about runs that are held."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobferry_common.messages import mark_alive, queue_of, worker_key
from tests.common.ledger.documents import ALPHA, document
from tests.common.ledger.test_sharing import BETA, BOTH, reserve, take

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobferry.client import Client
    from jobferry_common.names import RunId
    from tests.producer.cli.conftest import Done

    Command = Callable[..., Done]


def shared(client: Client) -> RunId:
    run = client.ledger.accept(document(1, tasks=6, targets=BOTH, priority=4)).run
    take(client.ledger, run, ALPHA, 2)
    take(client.ledger, run, BETA, 3)
    reserve(client.ledger, run, ALPHA, [0])
    return run


def test_status_shows_the_jobs_by_cluster(jobferry: Command, client: Client) -> None:
    run = shared(client)
    done = jobferry("status", run)
    assert "cluster   alpha: submitting 1 · pending 1, beta: pending 3" in done.out
    assert "priority  4" in done.out
    data = jobferry("status", run, "--json").json
    assert data["by_cluster"] == {"alpha": {"pending": 1, "submitting": 1}, "beta": {"pending": 3}}
    assert data["clusters"] == ["alpha", "beta"]
    assert "alpha, beta" in jobferry("status").out


def test_status_says_which_cluster_holds_a_run_up_and_what_to_do(
    jobferry: Command, client: Client
) -> None:
    run = shared(client)
    mark_alive(client.redis, worker_key(client.settings, queue_of("beta")), "here:1")
    told = jobferry("status", run).out
    assert "alpha has no worker, and may have 1 job of the run" in told
    assert f"jobferry abandon {run} --cluster alpha" in told
    assert "beta has" not in told


def test_a_run_is_held_and_released(jobferry: Command, client: Client) -> None:
    run = shared(client)
    assert f"jobferry release {run}" in jobferry("hold", run).err
    assert client.ledger.run(run).held
    assert jobferry("status").out.splitlines()[1].split()[1] == "held"
    assert jobferry("status", run, "--json").json["held"] is True
    assert f"waits     held: jobferry release {run}" in jobferry("status", run).out
    assert jobferry("release", run, "--json").json["changed"] is True
    assert "was not held" in jobferry("release", run).err


def test_a_cluster_is_given_up(jobferry: Command, client: Client) -> None:
    run = shared(client)
    done = jobferry("abandon", run, "--cluster", "alpha")
    assert f"1 job that alpha had of run {run} is given up there; beta will do it" in done.err
    assert client.ledger.run(run).clusters == (BETA,)
    stranger = jobferry("abandon", run, "--cluster", "hpc9")
    assert stranger.code == 2
    assert "cluster hpc9 has no part in run" in stranger.err
    data = jobferry("abandon", run, "--cluster", "beta", "--json").json
    assert (data["given_up"], data["state"]) == (0, "cancelled")
