"""Rules for jobs that fail: what reaches the document, and what could not be followed is told before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobferry.prepare import prepare
from jobferry_common.errors import BadInput
from jobferry_common.ledger.pages import pack_header, unpack_header
from jobferry_common.models.machine import Machine
from jobferry_common.models.resources import Resources
from jobferry_common.models.submission import Submission
from jobferry_common.models.task import Task

if TYPE_CHECKING:
    from pathlib import Path

RULES: dict[str, Any] = {
    "out_of_memory": {"memory": 1.5, "memory_most": "64GB"},
    "timeout": {"time": 2},
    "node_failure": {"exclude_node": True},
    "exit_codes": {"75": {"counts": False}},
}


def submission(
    work: Path, rules: Any = None, *, batch_type: str = "Slurm", **resources: Any
) -> Submission:
    asked = {"group_size": 1, "memory_per_node": "16GB", "time_limit": "1h", **resources}
    machine = Machine(
        batch_type=batch_type,
        context_type="Local",
        local_root=str(work),
        remote_root=str(work / "r"),
    )
    return Submission(
        work_base=".",
        machine=machine,
        resources=Resources.load_from_dict(asked),
        task_list=[Task(command="true", task_work_path=".")],
        on_failure=rules,
    )


def told(given: Submission) -> list[str]:
    with pytest.raises(BadInput) as caught:
        prepare(given)
    return [str(problem) for problem in caught.value.problems]


def test_rules_reach_the_document_and_come_out_of_the_ledger(tmp_path: Path) -> None:
    header = prepare(submission(tmp_path, RULES)).header
    assert header.policy.on_failure is not None
    assert set(header.policy.on_failure.rules) == {*RULES, "75"} - {"exit_codes"}
    assert unpack_header(pack_header(header)) == header


def test_a_document_without_rules_is_what_it_was(tmp_path: Path) -> None:
    plain = prepare(submission(tmp_path)).header
    empty = prepare(submission(tmp_path, {})).header
    assert plain == empty
    assert b"on_failure" not in pack_header(plain)
    assert plain.policy.on_failure is None
    assert unpack_header(pack_header(plain)) == plain


def test_who_adds_a_rule_goes_on_with_the_same_work(tmp_path: Path) -> None:
    ids = {prepare(submission(tmp_path, rules)).header.submission for rules in (None, RULES)}
    assert len(ids) == 1


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("#SBATCH --mem=4G", "out_of_memory.memory"),
        ("#SBATCH --mem-per-cpu 1G", "out_of_memory.memory"),
        ("#PBS -l mem=4gb", "out_of_memory.memory"),
        ("#SBATCH --time=10", "timeout.time"),
        ("#SBATCH -t 10", "timeout.time"),
        ("#$ -l h_rt=600", "timeout.time"),
    ],
)
def test_a_line_of_the_users_own_must_not_hold_against_a_rule(
    tmp_path: Path, line: str, field: str
) -> None:
    [what] = told(submission(tmp_path, RULES, custom_flags=[line]))
    assert what.startswith(
        f"on_failure.{field}: has no effect: {line!r} in custom_flags asks for it"
    )


@pytest.mark.parametrize(
    "line", ["#SBATCH --constraint=mem", "#SBATCH --mail-type=TIME_LIMIT", "#SBATCH -p big"]
)
def test_other_lines_stand_beside_rules(tmp_path: Path, line: str) -> None:
    assert prepare(submission(tmp_path, RULES, custom_flags=[line])).header.policy.on_failure


def test_a_header_template_has_to_say_what_grows(tmp_path: Path) -> None:
    template = tmp_path / "header"
    strategy = {"customized_script_header_template_file": str(template)}
    rules = {name: RULES[name] for name in ("out_of_memory", "timeout")}
    template.write_text("#SBATCH --mem {memory_per_node}\n")
    unsaid, what = told(submission(tmp_path, rules, strategy=strategy))
    assert unsaid.startswith("resources.time_limit: is not said by")
    assert what.startswith("on_failure.timeout.time: has no effect")
    assert what.endswith("expected {time_limit} there")
    template.write_text("#SBATCH --mem {memory_per_node} --time {time_limit}\n")
    assert prepare(submission(tmp_path, rules, strategy=strategy)).header.header_template
    [what] = told(submission(tmp_path, {"preempted": {"exclude_node": True}}, strategy=strategy))
    assert what.startswith("on_failure.preempted.exclude_node: has no effect with")


def test_nodes_are_excluded_only_where_the_batch_system_can(tmp_path: Path) -> None:
    rules = {"node_failure": {"exclude_node": True}}
    assert prepare(submission(tmp_path, rules)).header.policy.on_failure
    [what] = told(submission(tmp_path, rules, batch_type="PBS"))
    assert what.startswith("on_failure.node_failure.exclude_node: PBS has no general way to say it")
