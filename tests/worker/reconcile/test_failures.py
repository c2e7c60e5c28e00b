"""What follows a failure: by a rule of the submission, by the machine's retry_count, or by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from jobferry_common.document import Header, Policy
from jobferry_common.failures import MOST_UNCOUNTED, resources_of, rule_of, uncounted
from jobferry_common.ledger.asks import Asks
from jobferry_common.ledger.records import JobRecord
from jobferry_common.models.failures import OnFailure
from jobferry_common.models.resources import Resources
from jobferry_common.names import ClusterName
from jobferry_common.states import Outcome
from jobferry_worker.reconcile.failures import Verdict, verdict, where
from tests.common.ledger.documents import ALPHA, document

BETA = ClusterName("beta")


def header(rules: dict[str, Any] | None = None, *, retry_count: int = 3, **asked: Any) -> Header:
    """Return a run of 16 GB and an hour for each job."""
    policy = Policy(
        retry_count=retry_count,
        on_failure=OnFailure.load_from_dict(rules) if rules is not None else None,
    )
    given = {"group_size": 1, "memory_per_node": "16GB", "time_limit": "1h", **asked}
    plain = document(policy=policy).header
    return replace(plain, resources=Resources.load_from_dict(given))


def failed(
    outcome: Outcome, *, code: int | None = None, tries: int = 1, **fields: Any
) -> JobRecord:
    return JobRecord(
        outcome=outcome, code=code, tries=tries, cluster=ALPHA, reason="it failed", **fields
    )


def through(head: Header, outcome: Outcome, *, most: int = 200) -> list[Verdict]:
    """Return what follows when a job fails in one way over and over again."""
    found: list[Verdict] = []
    record = failed(outcome, tries=0)
    while len(found) < most and (not found or found[-1].again):
        record = replace(record, tries=record.tries + 1, reason=outcome.value)
        found.append(verdict(head, record))
        record = replace(record, tries=found[-1].tries, asks=found[-1].asks)
    return found


OOM, TIMEOUT, NODE = Outcome.OUT_OF_MEMORY, Outcome.TIMEOUT, Outcome.NODE_FAILURE


def test_without_rules_a_job_is_tried_as_often_as_its_machine_says() -> None:
    for outcome in (Outcome.FAILED, OOM, TIMEOUT, Outcome.LOST, Outcome.CANCELLED):
        found = through(header(), outcome)
        assert [one.again for one in found] == [True, True, True, False]
        assert {one.reason for one in found} == {outcome.value}
        assert not any(one.asks for one in found)


def test_what_a_job_cannot_help_uses_up_no_try() -> None:
    for outcome in (NODE, Outcome.PREEMPTED):
        found = through(header(), outcome)
        assert len(found) == MOST_UNCOUNTED + 4
        assert [one.tries for one in found[:MOST_UNCOUNTED]] == [0] * MOST_UNCOUNTED
        assert found[0].reason == f"{outcome.value}; again (does not count)"
        assert not found[-1].again


def test_who_wants_no_second_try_gets_none_without_a_rule() -> None:
    assert len(through(header(retry_count=0), NODE)) == 1
    assert through(header({"node_failure": {"counts": False}}, retry_count=0), NODE)[0].again


def test_a_rule_may_have_node_failures_counted() -> None:
    assert len(through(header({"node_failure": {}}), NODE)) == 4


def test_memory_grows_until_the_most_and_then_the_job_fails() -> None:
    head = header({"out_of_memory": {"memory": 1.5, "memory_most": "30GB"}}, retry_count=9)
    found = through(head, OOM)
    assert [one.reason for one in found] == [
        "out_of_memory; again with 24 GB (try 2 of 10)",
        "out_of_memory; again with 30 GB (try 3 of 10)",
        "out_of_memory with the most that it may have (30 GB)",
    ]
    assert [one.again for one in found] == [True, True, False]
    asked = [resources_of(head, one.asks, ALPHA).memory_per_node for one in found]
    assert asked == ["24576MB", "30720MB", "30720MB"]
    assert {resources_of(head, one.asks, ALPHA).time_limit for one in found} == {"01:00:00"}


def test_without_a_most_the_count_of_tries_is_the_end() -> None:
    head = header({"timeout": {"time": 2}})
    found = through(head, TIMEOUT)
    asked = [resources_of(head, one.asks, ALPHA).time_limit for one in found[:3]]
    assert asked == ["02:00:00", "04:00:00", "08:00:00"]
    assert found[0].reason == "timeout; again with a time limit of 02:00:00 (try 2 of 4)"
    assert [one.again for one in found] == [True, True, True, False]


def test_a_timeout_may_be_only_a_restart() -> None:
    head = header({"timeout": {"counts": False, "times": 2}})
    found = through(head, TIMEOUT)
    assert [one.reason for one in found] == [
        "timeout; again (does not count)",
        "timeout; again (does not count)",
        "timeout; it was tried again 2 times for that, which is the most",
    ]
    assert resources_of(head, found[0].asks, ALPHA) == head.resources


def test_uncounted_tries_have_an_end_whatever_the_rules_say() -> None:
    rules = {"timeout": {"counts": False}, "preempted": {"counts": False}}
    found = through(header(rules), TIMEOUT)
    assert len(found) == MOST_UNCOUNTED + 4
    assert [one.tries for one in found[-4:]] == [1, 2, 3, 4]
    other = failed(Outcome.PREEMPTED, asks=found[MOST_UNCOUNTED].asks)
    assert verdict(header(rules), other).tries == 1


def test_an_exit_code_gives_up_or_does_not_count() -> None:
    head = header({"exit_codes": {"2": {"retry": False}, "75": {"counts": False}}})
    two, busy, other = (verdict(head, failed(Outcome.FAILED, code=code)) for code in (2, 75, 3))
    assert (two.again, two.reason) == (False, "it failed; not to be tried again")
    assert (busy.again, busy.tries, busy.asks.times) == (True, 0, (("75", 1),))
    assert (other.again, other.tries, other.asks, other.reason) == (True, 1, Asks(), "it failed")


def test_a_kind_of_failure_goes_before_its_exit_code() -> None:
    rules = {"exit_codes": {"137": {"memory": 2}}}
    assert verdict(header(rules), failed(OOM, code=137)).asks.times == (("137", 1),)
    both = {**rules, "out_of_memory": {"retry": False}}
    assert not verdict(header(both), failed(OOM, code=137)).again


def test_rules_multiply_together_each_up_to_its_own_most() -> None:
    rules = {
        "out_of_memory": {"memory": 2, "memory_most": "40GB"},
        "exit_codes": {"9": {"memory": 1.5, "memory_most": "20GB", "time": 3}},
    }
    head = header(rules, retry_count=9)
    asks = Asks(times=(("9", 1), ("out_of_memory", 2)))
    assert resources_of(head, asks, ALPHA).memory_per_node == "40960MB"
    assert resources_of(head, asks, ALPHA).time_limit == "03:00:00"
    last = failed(Outcome.FAILED, code=9, tries=3, asks=asks)
    found = verdict(head, last)  # more time is left to it, more memory is not
    assert (found.again, found.reason) == (
        True,
        "it failed; again with a time limit of 09:00:00 (try 4 of 10)",
    )


def test_a_success_and_a_cancelled_job_have_no_rule() -> None:
    policy = header({"exit_codes": {"0": {}, "15": {}}}).policy
    assert rule_of(policy, Outcome.SUCCEEDED, 0) is None
    assert rule_of(policy, Outcome.CANCELLED, 15) is None
    assert rule_of(policy, Outcome.FAILED, 0) is not None  # a result is missing
    assert uncounted(policy, Asks(times=(("gone", 7),))) == 0


EXCLUDING = {"node_failure": {"counts": False, "exclude_node": True}}


def test_the_node_that_failed_is_excluded_on_its_cluster() -> None:
    head = header(EXCLUDING, exclude_nodes=["n1"])
    asks, reason = where(head, failed(NODE), "n3")
    assert (asks.nodes, reason) == (("alpha/n3",), "node failure on n3")
    then = verdict(head, failed(NODE, asks=asks))
    assert resources_of(head, then.asks, ALPHA).exclude_nodes == ("n1", "n3")
    assert resources_of(head, then.asks, BETA).exclude_nodes == ("n1",)
    record = replace(failed(NODE, asks=asks), reason=reason)
    assert verdict(head, record).reason == "node failure on n3; again, not on n3 (does not count)"


@pytest.mark.parametrize(
    ("nodes", "told"), [("", ""), ("n[1-2]", " (n[1-2])"), ("n1,n3", " (n1,n3)")]
)
def test_where_the_node_is_not_known_none_is_excluded_and_that_is_said(
    nodes: str, told: str
) -> None:
    asks, reason = where(header(EXCLUDING), failed(NODE), nodes)
    assert not asks
    assert reason == f"node failure on a node that is not known{told}"


def test_only_a_rule_that_says_so_excludes_a_node() -> None:
    cases: list[Any] = [None, {"node_failure": {}}, {"timeout": {"exclude_node": True}}]
    for rules in cases:
        assert not where(header(rules), failed(NODE), "n3")[0]
    assert where(header(), failed(NODE), "n3")[1] == "it failed"


def test_so_many_nodes_are_remembered() -> None:
    asks = Asks()
    for number in (*range(30), 25):
        asks = asks.without(f"alpha/n{number}")
    assert len(asks.nodes) == 20
    assert asks.nodes[-1] == "alpha/n25"
    assert len(set(asks.nodes)) == 20


@pytest.mark.parametrize(
    "asks",
    [
        Asks(),
        Asks(times=(("timeout", 3), ("75", 1))),
        Asks(nodes=("hpc1/n3", "x.y/n-4.z")),
        Asks(times=(("preempted", 2),), nodes=("a/b",)),
    ],
)
def test_a_record_keeps_what_its_job_asks_for(asks: Asks) -> None:
    record = JobRecord(attempt=3, tries=2, reason="a|b;c", cluster=ALPHA, claim=7, asks=asks)
    assert JobRecord.unpack(record.pack()) == record
    assert bool(asks) == (";" in record.pack().split("|")[2])


def test_numbers_stay_numbers_however_often_they_are_multiplied() -> None:
    head = header({"out_of_memory": {"memory": 100}, "timeout": {"time": 100}}, retry_count=99)
    asks = Asks(times=(("out_of_memory", 99), ("timeout", 99)))
    found = resources_of(head, asks, ALPHA)
    assert (found.memory_per_node, found.time_limit) == (f"{2**40}MB", "1193046:28:16")
