"""Resources: fields, defaults and faults."""

from __future__ import annotations

from typing import Any

import pytest

from jobferry_common.document import canonical
from jobferry_common.errors import BadInput
from jobferry_common.models.resources import Kwargs, Resources


def problems(**fields: Any) -> list[str]:
    with pytest.raises(BadInput) as caught:
        Resources.load_from_dict({"group_size": 1, **fields}, where="resources.json")
    return [str(problem).removeprefix("resources.json: ") for problem in caught.value.problems]


#: of DPDispatcher
_DEFAULTS: dict[str, Any] = {
    "number_node": 1,
    "cpu_per_node": 1,
    "gpu_per_node": 0,
    "queue_name": "",
    "group_size": 5,
    "custom_flags": [],
    "strategy": {
        "if_cuda_multi_devices": False,
        "ratio_unfinished": 0.0,
        "customized_script_header_template_file": None,
    },
    "para_deg": 1,
    "source_list": [],
    "module_purge": False,
    "module_unload_list": [],
    "module_list": [],
    "envs": {},
    "prepend_script": [],
    "append_script": [],
    "wait_time": 0.0,
    "kwargs": {
        "custom_gpu_line": None,
        "slurm_job_size": None,
        "pe_name": "mpi",
        "job_name": None,
        "gpu_usage": False,
        "gpu_new_syntax": False,
        "gpu_exclusive": True,
        "yarn_path": None,
        "img_name": None,
        "mem_limit": None,
    },
    "batch_type": None,
}
#: of jobferry alone
_MORE_DEFAULTS: dict[str, Any] = {
    "ntasks_per_node": None,
    "cpus_per_task": None,
    "memory_per_node": None,
    "time_limit": None,
    "account": None,
    "qos": None,
    "constraint": None,
    "exclusive": False,
    "exclude_nodes": [],
}


def test_defaults_are_those_of_dpdispatcher() -> None:
    resources = Resources(group_size=5)
    assert resources.serialize() == _DEFAULTS | _MORE_DEFAULTS


def test_the_first_fields_may_be_given_by_position() -> None:
    assert Resources(1, 4, 2, "gpu", 5) == Resources(  # type: ignore[call-arg]
        number_node=1, cpu_per_node=4, gpu_per_node=2, queue_name="gpu", group_size=5
    )


def test_a_misspelt_key_is_told_once_with_what_was_meant() -> None:
    """A defect of DPDispatcher: `gruop_size` and other unknown keys pass unnoticed."""
    with pytest.raises(BadInput) as caught:
        Resources(gruop_size=1)  # type: ignore[call-arg]
    assert str(caught.value) == "resources: gruop_size: is no known key; did you mean 'group_size'?"


def test_every_wrong_type_is_told_with_what_was_expected() -> None:
    found = problems(
        number_node="one", cpu_per_node=True, module_purge=1, queue_name=5, custom_flags="x"
    )
    assert found == [
        "number_node: expected a whole number, got 'one'",
        "cpu_per_node: expected a whole number, got true",
        "queue_name: expected text, got 5",
        "custom_flags: expected a list, got 'x'",
        "module_purge: expected true or false, got 1",
    ]


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("number_node", 0, "at least 1"),
        ("gpu_per_node", -1, "at least 0"),
        ("para_deg", 0, "at least 1"),
        ("group_size", -1, "at least 0"),
        ("wait_time", -0.5, "at least 0"),
        ("number_node", 2 * 10**9, "at most 1,000,000,000"),
        ("para_deg", 10**30, "at most 1,000,000,000"),
        ("wait_time", 1e30, "at most 1,000,000,000"),
    ],
)
def test_numbers_have_bounds(field: str, value: float, expected: str) -> None:
    assert problems(**{field: value}) == [f"{field}: expected {expected}, got {value}"]


def test_wait_time_may_be_a_whole_number_or_a_fraction() -> None:
    assert Resources(group_size=1, wait_time=2).wait_time == 2
    assert Resources(group_size=1, wait_time=0.5).wait_time == 0.5
    assert problems(wait_time=float("nan")) == ["wait_time: expected a finite number, got nan"]


def test_an_environment_variable_is_text_a_number_or_a_list_of_them() -> None:
    resources = Resources.load_from_dict(
        {"group_size": 1, "envs": {"A": "x", "B": 4, "C": 0.5, "D": ["1", 2], "_E": "kept"}}
    )
    assert resources.envs == {"A": "x", "B": 4, "C": 0.5, "D": ("1", 2), "_E": "kept"}
    assert problems(envs={"A": {}, "A B": "x"}) == [
        "envs.A: expected text, a finite number or a list of them, got {}",
        "envs.A B: 'A B' is no name of a variable: expected letters, digits and '_', no digit first",
    ]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 10**400])
def test_a_number_that_no_ledger_could_keep_is_refused(number: float) -> None:
    for value in (number, [1, number]):
        (problem,) = problems(envs={"A": value})
        assert problem.startswith("envs.A: expected text, a finite number or a list of them, got")


@pytest.mark.parametrize("text", ["a\nb", "a\r#SBATCH -x", "\x1b[31m", "a\u2028b", "a\x0cb"])
@pytest.mark.parametrize("field", ["queue_name", "account", "custom_gpu_line", "pe_name"])
def test_what_goes_into_a_line_of_the_header_is_one_line(field: str, text: str) -> None:
    inner = field in Kwargs.model_fields
    (problem,) = problems(**({"kwargs": {field: text}} if inner else {field: text}))
    assert problem.startswith(f"{'kwargs.' if inner else ''}{field}: {text!r} holds a line break")


@pytest.mark.parametrize("amount", ["9" * 400 + "TB", "１６GB", "9" * 400 + "d", "１２:00:00"])
@pytest.mark.parametrize("field", ["memory_per_node", "time_limit"])
def test_an_amount_that_nobody_can_mean_is_none(field: str, amount: str) -> None:
    (problem,) = problems(**{field: amount})
    assert problem.startswith(f"{field}: {amount!r} is no ")


def test_comments_are_left_out_at_every_level() -> None:
    resources = Resources.load_from_dict(
        {"group_size": 1, "_why": "so", "strategy": {"_note": 1}, "kwargs": {"_note": 2}}
    )
    assert resources == Resources(group_size=1)


def test_the_pe_name_of_sge_has_an_older_name() -> None:
    resources = Resources.load_from_dict({"group_size": 1, "kwargs": {"sge_pe_name": "smp"}})
    assert resources.kwargs.pe_name == "smp"


def test_an_unknown_key_of_kwargs_is_refused_by_its_path() -> None:
    assert problems(kwargs={"gpu_usag": True}) == [
        "kwargs.gpu_usag: is no known key; did you mean 'gpu_usage'?"
    ]


def test_a_gpu_for_each_slot_needs_one_node_with_gpus() -> None:
    strategy = {"if_cuda_multi_devices": True}
    found = problems(strategy=strategy, number_node=2)
    assert found == [
        "strategy.if_cuda_multi_devices: works on one node only; expected number_node 1",
        "strategy.if_cuda_multi_devices: needs GPUs; expected gpu_per_node of at least 1",
    ]
    Resources.load_from_dict({"group_size": 1, "strategy": strategy, "gpu_per_node": 2})


def test_a_flag_is_one_line() -> None:
    (problem,) = problems(custom_flags=["#SBATCH -x a", "a\nrm -rf x"])
    assert problem.startswith("custom_flags: 'a\\nrm -rf x' holds a line break")


def test_equal_resources_give_equal_text() -> None:
    one = Resources.load_from_dict({"group_size": 1, "envs": {"B": 1, "A": [1, 2]}})
    two = Resources.load_from_dict({"envs": {"A": [1, 2], "B": 1}, "group_size": 1})
    assert canonical(one.serialize()) == canonical(two.serialize())
    assert Resources.load_from_dict(one.serialize()) == one


@pytest.mark.parametrize(
    ("fields", "cores", "ranks", "threads"),
    [
        ({"cpu_per_node": 16}, 16, 16, 1),
        ({"cpus_per_task": 4}, 4, 1, 4),
        ({"ntasks_per_node": 4}, 4, 4, 1),
        ({"ntasks_per_node": 4, "cpus_per_task": 8}, 32, 4, 8),
        ({"cpu_per_node": 32, "ntasks_per_node": 4}, 32, 4, 8),
        ({"cpu_per_node": 32, "cpus_per_task": 8}, 32, 4, 8),
    ],
)
def test_ranks_and_threads_share_out_the_cores(
    fields: dict[str, int], cores: int, ranks: int, threads: int
) -> None:
    resources = Resources.load_from_dict({"group_size": 1, **fields})
    shared = (resources.cpu_per_node, resources.ranks_per_node, resources.threads_per_rank)
    assert shared == (cores, ranks, threads)


def test_cores_that_cannot_be_shared_out_are_told() -> None:
    told = "cores cannot be shared out by ntasks_per_node and cpus_per_task; expected"
    assert problems(cpu_per_node=5, cpus_per_task=2) == [
        f"cpu_per_node: 5 {told} a multiple of 2, or to leave it out"
    ]
    assert problems(cpu_per_node=16, ntasks_per_node=2, cpus_per_task=4) == [
        f"cpu_per_node: 16 {told} 8, or to leave it out"
    ]


@pytest.mark.parametrize(
    ("text", "kept"),
    [("16GB", "16384MB"), ("1.5 TiB", "1572864MB"), ("800m", "800MB"), ("1K", "1MB")],
)
def test_memory_is_kept_in_one_spelling(text: str, kept: str) -> None:
    assert Resources(group_size=1, memory_per_node=text).memory_per_node == kept


@pytest.mark.parametrize(
    ("text", "kept"),
    [("90m", "01:30:00"), ("2d", "48:00:00"), ("1-02:03:04", "26:03:04"), ("45 s", "00:00:45")],
)
def test_durations_are_kept_in_one_spelling(text: str, kept: str) -> None:
    resources = Resources(group_size=1, time_limit=text)
    assert resources.time_limit == kept
    assert Resources.load_from_dict(resources.serialize()) == resources


@pytest.mark.parametrize("text", ["16", "0GB", "-1GB", "lots"])
def test_what_is_no_memory_is_told(text: str) -> None:
    assert problems(memory_per_node=text) == [
        f"memory_per_node: {text!r} is no amount of memory; "
        "expected one with its unit, such as '16GB' or '800MB'"
    ]


@pytest.mark.parametrize("text", ["30", "12:00", "00:00:00", "1:60:00", "soon"])
def test_what_is_no_duration_is_told(text: str) -> None:
    assert problems(time_limit=text) == [
        f"time_limit: {text!r} is no duration; "
        "expected '12:00:00', '2-00:00:00', '90m', '12h' or '2d'"
    ]


@pytest.mark.parametrize("share", [1, 1.0, 1.5])
def test_at_least_something_is_to_be_finished(share: float) -> None:
    [what] = problems(strategy={"ratio_unfinished": share})
    assert what.startswith("strategy.ratio_unfinished: expected less than 1, got")
