"""The check of all keys: quiet while nothing is wrong, and it names each key that was tampered with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobferry_common.broker import send
from jobferry_common.ledger.sanity import problems, read_all
from jobferry_common.names import ClusterName
from jobferry_common.states import JobState
from tests.common.ledger.documents import ALPHA, document, fence_of, finish, move, reserve

if TYPE_CHECKING:
    from redis import Redis

    from jobferry_common.ledger import Ledger
    from jobferry_common.names import RunId

BETA = ClusterName("beta")


def a_ledger_in_use(ledger: Ledger) -> RunId:
    """Return a run with jobs in many states, beside a shared one."""
    run = ledger.accept(document(tasks=8)).run
    finish(ledger, run, 0)
    reserve(ledger, run, [1, 2])
    reserve(ledger, run, [3])
    move(ledger, run, 3, JobState.EXITED)
    move(ledger, run, 3, JobState.PENDING)
    reserve(ledger, run, [4])
    move(ledger, run, 4, JobState.FAILED)
    ledger.wish_cancel(run)
    shared = ledger.accept(document(2, tasks=6, targets=(ALPHA, BETA))).run
    jobs = ledger.claim(shared, BETA, 3, fence=fence_of(ledger), now=10.0)
    ledger.staged(shared, BETA, jobs[:1])
    return run


def found(ledger: Ledger) -> str:
    return "\n".join(problems(read_all(ledger)))


def test_a_ledger_in_use_is_sane(ledger: Ledger) -> None:
    a_ledger_in_use(ledger)
    assert found(ledger) == ""


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("HINCRBY", "run:{run}", "n:pending", 1), "n:pending says"),
        (("ZREM", "run:{run}:due", 3), "`due` has"),
        (("SREM", "flight:alpha", "{run}/1"), "`flight` has"),
        (("SADD", "flight:alpha", "{run}/0"), "`flight` has"),
        (("HDEL", "tokens:alpha", "*"), "`tokens` has"),
        (("HSET", "left:alpha", "jf.x", 1), "`left` says"),
        (("ZREM", "open", "{run}"), "in `open`"),
        (("ZREM", "open:alpha", "{run}"), "`open` has"),
        (("SREM", "cancel:alpha", "{run}"), "`cancel` has"),
        (("SREM", "judge:alpha", "{run}"), "`judge` lacks"),
        (("HINCRBY", "waiting", "alpha", -1), "`waiting` says"),
        (("HSET", "run:{run}", "fresh", 8), "has no record"),
        (("SADD", "run:{run}:collect", 1), "did not end"),
        (("DEL", "ready:alpha:alice@laptop"), "neither ready nor later"),
        (("DEL", "owners:alpha"), "is not in `owners`"),
        (("HSET", "run:{run}", "state", "failed"), "ended as failed with jobs"),
        (("ZREM", "run:000000000002-1:claims:beta", 1), "beta has claimed"),
        (("SREM", "claimed:beta", "000000000002-1"), "`claimed:beta` is wrong"),
        (("HINCRBY", "run:000000000002-1:at", "beta pending", 1), "`at` says"),
    ],
)
def test_what_was_tampered_with_is_named(
    ledger: Ledger, redis: Redis, command: tuple[str | int, ...], words: str
) -> None:
    run = a_ledger_in_use(ledger)
    verb, key, *rest = (str(part).format(run=run) for part in command)
    if rest == ["*"]:
        rest = sorted(ledger.ask("HKEYS", ledger.key(key)))[:1]
    send(redis, verb, ledger.key(key), *rest)
    assert words in found(ledger)
