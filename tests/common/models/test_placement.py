"""Where the jobs of a submission may go: what a user may write, and how faults are told."""

from __future__ import annotations

from typing import Any

import pytest

from jobferry_common.errors import BadInput
from jobferry_common.models.submission import Submission


def plain(**changes: Any) -> dict[str, Any]:
    tasks = [{"command": "true", "task_work_path": "."}]
    resources = {"group_size": 1}
    return {"work_base": "w", "resources": resources, "task_list": tasks, **changes}


def problems(**changes: Any) -> list[str]:
    with pytest.raises(BadInput) as caught:
        Submission.load_from_dict(plain(**changes))
    return [str(problem).removeprefix("submission: ") for problem in caught.value.problems]


def test_one_cluster_several_or_any() -> None:
    assert Submission.load_from_dict(plain(cluster="a")).cluster == "a"
    assert Submission.load_from_dict(plain(cluster=["a", "b"])).cluster == ("a", "b")
    assert Submission.load_from_dict(plain(cluster="any")).cluster == "any"


def test_all_that_can_be_said_survives_serialization() -> None:
    said = {"placement": {"a": 3, "b": 1}, "requires": ["gpu"], "priority": -5}
    model = Submission.load_from_dict(plain(cluster=["a", "b"], **said))
    assert Submission.load_from_dict(model.serialize()) == model
    assert model.placement == {"a": 3.0, "b": 1.0}
    assert (model.requires, model.priority) == (("gpu",), -5)


@pytest.mark.parametrize(
    ("cluster", "told"),
    [
        ([], "is empty; expected at least one name"),
        (["a", "a"], "names a more than once"),
        (["a", "any"], "expected it alone, not in a list"),
        (["a", "b/c"], "'b/c' is no name of a cluster"),
        (["a", 5], "expected a name, a list of names"),
        (7, "expected a name, a list of names"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused(cluster: object, told: str) -> None:
    (problem,) = problems(cluster=cluster)
    assert problem.startswith("cluster: ")
    assert told in problem


@pytest.mark.parametrize("placement", ["ordered", {}, {"a": 0}, {"a": True}, {"a": 1e9}, 3])
def test_a_placement_that_makes_no_sense_is_refused(placement: object) -> None:
    (problem,) = problems(cluster=["a", "b"], placement=placement)
    assert problem.startswith("placement: expected")


def test_a_weight_for_a_cluster_that_is_not_named_is_refused() -> None:
    (problem,) = problems(cluster=["a", "b"], placement={"c": 2})
    assert problem == "placement.c: is none of the clusters; expected one of a, b"


def test_tags_choose_among_clusters_and_not_among_machines() -> None:
    machine = {"batch_type": "Shell", "context_type": "LazyLocal", "local_root": "."}
    (problem,) = problems(machine=machine, requires=["gpu"])
    assert problem == "requires: stands beside a machine; it chooses among clusters"


@pytest.mark.parametrize("priority", [1001, -1001, 1.5, "high"])
def test_a_priority_is_a_number_within_limits(priority: object) -> None:
    (problem,) = problems(cluster="a", priority=priority)
    assert problem.startswith("priority: ")
