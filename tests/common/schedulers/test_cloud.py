"""Bohrium and OpenAPI: every number of the platform, and what a job asks of a size of machine."""

from __future__ import annotations

import pytest

from jobferry_common.errors import BadInput
from jobferry_common.models.cloud_input import machine_size
from jobferry_common.models.resources import Resources
from jobferry_common.schedulers import scheduler_named
from jobferry_common.schedulers.base import Phase
from jobferry_common.schedulers.cloud import STATES, Asked
from jobferry_common.states import Outcome


@pytest.mark.parametrize(
    ("number", "phase", "outcome"),
    [
        (-1, Phase.ENDED, Outcome.FAILED),
        (0, Phase.QUEUED, None),
        (1, Phase.RUNNING, None),
        (2, Phase.ENDED, Outcome.SUCCEEDED),
        (3, Phase.QUEUED, None),
        (4, Phase.RUNNING, None),
        (5, Phase.ENDED, Outcome.CANCELLED),
        (6, Phase.RUNNING, None),
        (9, Phase.QUEUED, None),
    ],
)
def test_every_number_of_the_platform_has_a_meaning(
    number: int, phase: Phase, outcome: Outcome | None
) -> None:
    assert (STATES[number].phase, STATES[number].outcome) == (phase, outcome)
    assert STATES[number].words


def test_no_other_number_is_guessed_at() -> None:
    assert set(STATES) == {-1, 0, 1, 2, 3, 4, 5, 6, 9}


@pytest.mark.parametrize("name", ["Bohrium", "OpenAPI"])
@pytest.mark.parametrize(
    "given", [{"account": "x"}, {"qos": "x"}, {"constraint": "x"}, {"ntasks_per_node": 1}]
)
def test_what_has_no_line_is_refused_by_name(name: str, given: dict[str, object]) -> None:
    with pytest.raises(BadInput) as caught:
        scheduler_named(name, home="/").header(Resources.load_from_dict({"group_size": 1, **given}))
    (problem,) = caught.value.problems
    assert problem.where == f"resources.{next(iter(given))}"
    assert problem.what.startswith(name)


def test_the_header_is_read_back() -> None:
    resources = Resources(
        group_size=1, number_node=2, cpu_per_node=8, gpu_per_node=1, memory_per_node="16GB",
        time_limit="2h", custom_flags=["#CLOUD", "#CLOUD odd=1", "#CLOUD a=b=c", "x"],
    )  # fmt: skip
    header = scheduler_named("OpenAPI", home="/").header(resources)
    assert Asked.of(header) == Asked(nodes=2, cpus=8, gpus=1, memory=16, minutes=120)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("c2_m4_cpu", (2, 4, 0)),
        ("c8_m32_1 * NVIDIA V100", (8, 32, 1)),
        ("c32_m128_4 * NVIDIA V100", (32, 128, 4)),
        ("c12_m92_1*A100", (12, 92, 1)),
        ("ecs.gn6v", None),
    ],
)
def test_the_name_of_a_machine_tells_its_size(name: str, size: tuple[int, int, int] | None) -> None:
    assert machine_size(name) == size


def test_more_than_a_machine_has_is_told_by_name() -> None:
    machine = "c8_m32_1 * NVIDIA V100"
    assert Asked(cpus=8, gpus=1, memory=32).too_much_for(machine) == ""
    assert Asked(cpus=9, gpus=2, memory=33).too_much_for("a name of the site's own") == ""
    words = Asked(cpus=9, gpus=2, memory=33).too_much_for(machine)
    for name in ("cpu_per_node asks for 9", "memory_per_node", "gpu_per_node"):
        assert f"resources.{name}" in words
