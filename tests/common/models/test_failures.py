"""Rules for jobs that fail: what loads, and what is told of rules that mean nothing."""

from __future__ import annotations

from typing import Any

import pytest

from jobferry_common.models.failures import OnFailure, Rule
from jobferry_common.models.resources import Resources
from jobferry_common.models.submission import Submission
from tests.common.models.test_submission import plain, problems

RULES = {
    "out_of_memory": {"memory": 1.5, "memory_most": "64GB"},
    "timeout": {"time": 2, "time_most": "2d"},
    "node_failure": {"counts": False, "exclude_node": True},
    "preempted": {"counts": False},
    "exit_codes": {"2": {"retry": False}, "75": {"counts": False}},
}
ASKED: dict[str, Any] = {"group_size": 1, "memory_per_node": "16GB", "time_limit": "12h"}


def told(on_failure: Any, **resources: Any) -> list[str]:
    return problems(plain(on_failure=on_failure, resources={**ASKED, **resources}))


def test_rules_load_in_one_spelling() -> None:
    submission = Submission.load_from_dict(plain(on_failure=RULES, resources=ASKED))
    assert submission.on_failure is not None
    assert set(submission.on_failure.rules) == {*RULES, "2", "75"} - {"exit_codes"}
    assert submission.on_failure.plain() == {
        **RULES,
        "out_of_memory": {"memory": 1.5, "memory_most": "65536MB"},
        "timeout": {"time": 2.0, "time_most": "48:00:00"},
    }
    assert Submission.load_from_dict(submission.serialize()) == submission


def test_rules_are_written_in_python_too() -> None:
    rules = OnFailure(out_of_memory=Rule(memory=2.0, times=3), exit_codes={75: Rule(counts=False)})
    data = plain(on_failure=rules, resources=Resources(**ASKED))
    assert Submission.load_from_dict(data).on_failure == rules
    assert set(rules.rules) == {"out_of_memory", "75"}


def test_a_submission_without_rules_has_none() -> None:
    assert Submission.load_from_dict(plain()).on_failure is None


def test_what_is_multiplied_has_to_be_asked_for() -> None:
    assert problems(plain(on_failure=RULES)) == [
        "on_failure.out_of_memory.memory: multiplies resources.memory_per_node, which is not given; expected one there",
        "on_failure.timeout.time: multiplies resources.time_limit, which is not given; expected one there",
    ]


def test_the_most_is_more_than_what_is_asked_for() -> None:
    small = {"exit_codes": {"137": {"memory": 2, "memory_most": "16384MB"}}}
    assert told(small) == [
        "on_failure.exit_codes.137.memory_most: is no more than resources.memory_per_node, '16GB'; expected more"
    ]
    less = plain(on_failure=small, resources={**ASKED, "memory_per_node": "8GB"})
    assert Submission.load_from_dict(less).resources.memory_per_node == "8192MB"


@pytest.mark.parametrize(
    ("rules", "what"),
    [
        ({"timeout": {"time": 1}}, "timeout.time: expected more than 1, got 1"),
        ({"timeout": {"time": "2"}}, "timeout.time: expected a number, got '2'"),
        ({"timeout": {"tmie": 2}}, "timeout.tmie: is no known key; did you mean 'time'?"),
        ({"timout": {}}, "timout: is no known key; did you mean 'timeout'?"),
        ({"timeout": {"time_most": "2d"}}, "timeout.time_most: has no meaning without 'time'"),
        ({"timeout": {"times": 0}}, "timeout.times: expected at least 1, got 0"),
        (
            {"out_of_memory": {"memory": 2, "counts": False}},
            "out_of_memory.memory: would grow without end, for its tries do not count; "
            "expected 'memory_most' or 'times'",
        ),
        (
            {"preempted": {"retry": False, "times": 3}},
            'preempted.times: stands beside "retry": false, after which there is no next try',
        ),
        (
            {"exit_codes": {"256": {}}},
            "exit_codes.256: '256' is no exit code; expected one from 0 to 255, such as '75'",
        ),
        (
            {"exit_codes": {"75": {"memroy": 2}}},
            "exit_codes.75.memroy: is no known key; did you mean 'memory'?",
        ),
        (
            {"exit_codes": {"75": {"exclude_node": True}}},
            "exit_codes.75.exclude_node: only the scheduler knows on which node a job failed; expected it in a rule "
            "for out_of_memory, timeout, node_failure, preempted",
        ),
        ({"timeout": True}, "timeout: expected an object of keys and values, got true"),
    ],
)
def test_what_is_wrong_is_told_where(rules: Any, what: str) -> None:
    assert told(rules) == [f"on_failure.{what}"]


def test_a_rule_that_ends_after_some_tries_may_grow_uncounted() -> None:
    rules = {"out_of_memory": {"memory": 2, "counts": False, "times": 3}}
    submission = Submission.load_from_dict(plain(on_failure=rules, resources=ASKED))
    assert submission.on_failure is not None
    assert submission.on_failure.plain() == {
        "out_of_memory": {**rules["out_of_memory"], "memory": 2.0}
    }


@pytest.mark.parametrize("node", ["n[1-4]", "", "a b", "n1,n2", "-x", "n1|n2"])
def test_a_node_is_named_by_its_one_name(node: str) -> None:
    found = problems(plain(resources={"group_size": 1, "exclude_nodes": [node]}))
    assert found == [
        f"resources.exclude_nodes: {node!r} is no name of a node; expected one such as 'n17' in each item of the list"
    ]
