"""Preparing: every file checked, globs resolved, one id for equal work."""

from __future__ import annotations

import os
import random
import socket
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobferry.prepare import prepare
from jobferry_common import globbing
from jobferry_common.errors import BadInput
from jobferry_common.models.cluster import ClusterProfile
from jobferry_common.models.machine import Machine
from jobferry_common.models.resources import Resources, Strategy
from jobferry_common.models.submission import Submission
from jobferry_common.models.task import Task
from jobferry_common.scripts.render import custom_header

if TYPE_CHECKING:
    from pathlib import Path

    from jobferry_common.document import Document


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A project with two tasks and a common file."""
    for name in ("task0", "task1"):
        (tmp_path / "work" / name).mkdir(parents=True)
        (tmp_path / "work" / name / "in").write_text(f"{name}\n", encoding="utf-8")
    (tmp_path / "work" / "graph.pb").write_bytes(b"graph")
    return tmp_path


def task(number: int = 0, **changes: Any) -> Task:
    fields: dict[str, Any] = {
        "command": "cat in > out",
        "task_work_path": f"task{number}",
        "forward_files": ["in"],
        "backward_files": ["out"],
    }
    return Task(**{**fields, **changes})


def submission(work: Path, *tasks: Task, **changes: Any) -> Submission:
    fields: dict[str, Any] = {
        "work_base": "work",
        "machine": Machine(
            batch_type="Slurm",
            context_type="Local",
            local_root=str(work),
            remote_root=str(work / "r"),
        ),
        "resources": Resources(group_size=1),
        "forward_common_files": ["graph.pb"],
        "task_list": tasks or (task(0), task(1)),
    }
    return Submission(**{**fields, **changes})


def prepared(work: Path, *tasks: Task, **changes: Any) -> Document:
    return prepare(submission(work, *tasks, **changes), owner="alice@laptop", directory=str(work))


def problems(work: Path, *tasks: Task, **changes: Any) -> list[str]:
    with pytest.raises(BadInput) as caught:
        prepared(work, *tasks, **changes)
    return [str(problem) for problem in caught.value.problems]


def test_a_document_says_all_that_a_worker_needs(work: Path) -> None:
    document = prepared(work, name="mine", continue_on_failure=True)
    header = document.header
    assert header.owner == "alice@laptop"
    assert header.source == str((work / "work").resolve())
    assert header.forward_common == ("graph.pb",)
    assert header.cluster.startswith("inline-")
    assert header.machine is not None
    assert header.machine["remote_root"] == str(work / "r")
    assert header.resources.batch_type == "Slurm"
    assert (header.tasks, header.jobs, header.name) == (2, 2, "mine")
    assert header.policy.continue_on_failure
    assert header.policy.retry_count == 3
    assert [spec.path for spec in document.tasks] == ["task0", "task1"]
    assert document.tasks[0].forward == ("in",)


def test_all_missing_files_are_told_at_once_with_near_names(work: Path) -> None:
    found = problems(
        work,
        task(0, forward_files=["inn", "*.dat"]),
        task(7),
        forward_common_files=["graf.pb"],
    )
    source = str((work / "work").resolve())
    assert found == [
        f"forward_common_files: 'graf.pb': there is no such file in {source!r}; did you mean 'graph.pb'?",
        f"task_list[0].forward_files: 'inn': there is no such file in '{source}/task0'; did you mean 'in'?",
        f"task_list[0].forward_files: '*.dat': fits no file in '{source}/task0'",
        f"task_list[1].forward_files: 'in': there is no directory '{source}/task7'",
    ]


def test_a_missing_work_base_is_answered_with_a_near_one(work: Path) -> None:
    (problem,) = problems(work, work_base="wrok")
    assert problem.endswith("did you mean 'work'?")


def test_in_place_the_directory_of_a_task_must_exist(work: Path) -> None:
    machine = Machine(batch_type="Shell", context_type="LazyLocal", local_root=str(work))
    bare = Task(command="true", task_work_path="tsk0")
    (problem,) = problems(work, bare, machine=machine)
    assert problem.startswith("task_list[0].task_work_path: there is no directory")
    assert prepared(work, bare).tasks[0].path == "tsk0"  # elsewhere it is made


def test_globs_are_resolved_and_each_name_is_taken_once(work: Path) -> None:
    for name in ("b.dat", "a.dat", ".hidden.dat"):
        (work / "work" / "task0" / name).write_bytes(b"")
    (spec,) = prepared(work, task(0, forward_files=["*.dat", "in", "./in", "a*"])).tasks
    assert spec.forward == ("a.dat", "b.dat", "in")


def test_a_file_with_brackets_in_its_name_wins_over_what_they_mean(work: Path) -> None:
    for name in ("[ab]", "a", "b"):
        (work / "work" / "task0" / name).write_bytes(b"")
    (spec,) = prepared(work, task(0, forward_files=["[ab]"])).tasks
    assert spec.forward == ("[ab]",)
    (work / "work" / "task0" / "[ab]").unlink()
    (spec,) = prepared(work, task(0, forward_files=["[ab]"])).tasks
    assert spec.forward == ("a", "b")


def test_two_stars_find_files_in_any_depth_but_follow_no_links(work: Path) -> None:
    deep = work / "work" / "task0" / "d" / "e"
    deep.mkdir(parents=True)
    (deep / "x.log").write_bytes(b"")
    (work / "work" / "task0" / "y.log").write_bytes(b"")
    (deep / "up").symlink_to(work / "work")
    (spec,) = prepared(work, task(0, forward_files=["**/*.log"])).tasks
    assert spec.forward == ("d/e/x.log", "y.log")


@given(st.text(st.sampled_from("ab*?[]-!"), min_size=1, max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_a_name_that_exists_always_stands_for_itself(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    assert globbing.matches(str(tmp_path), name) == [name]


def test_a_pipe_is_refused_instead_of_waited_for(work: Path) -> None:
    os.mkfifo(work / "work" / "task0" / "pipe")
    (problem,) = problems(work, task(0, forward_files=["pipe"]))
    assert "is neither a file nor a directory" in problem


def test_a_directory_that_holds_itself_is_refused(work: Path) -> None:
    (work / "work" / "task0" / "d").mkdir()
    (work / "work" / "task0" / "d" / "again").symlink_to(".")
    (problem,) = problems(work, task(0, forward_files=["d"]))
    assert "leads in a circle" in problem


def test_only_the_first_hundred_faults_are_shown(work: Path) -> None:
    with pytest.raises(BadInput) as caught:
        prepared(work, *[task(0, forward_files=["nope"])] * 300)
    assert len(caught.value.problems) == 100
    assert str(caught.value).endswith("only 100 are shown")


def test_the_id_does_not_depend_on_where_a_project_is(work: Path, tmp_path: Path) -> None:
    first = prepared(work).header
    moved = tmp_path / "moved"
    moved.mkdir()
    (work / "work").rename(moved / "work")
    machine = submission(work).machine
    assert machine is not None
    there = machine.model_copy(update={"local_root": str(moved)})
    second = prepared(work, machine=there).header
    assert second.submission == first.submission
    assert second.source != first.source


def test_in_place_the_id_depends_on_the_real_directory(work: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(work)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "work" / "task0").mkdir(parents=True)
    (tmp_path / "other" / "work" / "task0" / "in").write_text("task0\n", encoding="utf-8")
    ids = [
        prepared(
            work,
            task(0),
            machine=Machine(batch_type="Shell", context_type="LazyLocal", local_root=str(root)),
            forward_common_files=[],
        ).header.submission
        for root in (work, tmp_path / "link", tmp_path / "other")
    ]
    assert ids[0] == ids[1] != ids[2]


def test_the_id_is_what_was_said_and_keys_are_what_is_read(work: Path) -> None:
    before = prepared(work)
    (work / "work" / "task1" / "in").write_text("changed\n", encoding="utf-8")
    after = prepared(work)
    assert after.header.submission == before.header.submission
    assert after.tasks[0].key == before.tasks[0].key
    assert after.tasks[1].key != before.tasks[1].key


def test_a_changed_common_file_changes_every_key(work: Path) -> None:
    before = prepared(work)
    (work / "work" / "graph.pb").write_bytes(b"other")
    after = prepared(work)
    assert all(one.key != two.key for one, two in zip(before.tasks, after.tasks, strict=True))


@pytest.mark.parametrize(
    "change", [{"command": "true"}, {"backward_files": ["b"]}, {"outlog": None}]
)
def test_a_changed_task_has_another_key_and_makes_another_submission(
    work: Path, change: dict[str, Any]
) -> None:
    before, after = prepared(work, task(0)), prepared(work, task(0, **change))
    assert before.tasks[0].key != after.tasks[0].key
    assert before.header.submission != after.header.submission


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"work_base": "./work/."},
        {"resources": Resources(group_size=2)},
        {"forward_common_files": []},
    ],
)
def test_the_id_depends_on_name_resources_and_files(work: Path, change: dict[str, Any]) -> None:
    same = "work_base" in change
    assert (prepared(work, **change).header.submission == prepared(work).header.submission) is same


def test_a_changed_directory_changes_the_key(work: Path) -> None:
    lib = work / "work" / "task0" / "lib"
    (lib / "deep").mkdir(parents=True)
    before = prepared(work, task(0, forward_files=["lib"])).tasks[0].key
    (lib / "deep" / "x").write_bytes(b"")
    assert prepared(work, task(0, forward_files=["lib"])).tasks[0].key != before


def test_the_callers_random_state_is_left_alone(work: Path) -> None:
    state = random.getstate()
    document = prepared(work, *[task(0)] * 9, resources=Resources(group_size=4))
    assert random.getstate() == state
    positions = [spec.position for spec in document.tasks]
    assert sorted(positions) == list(range(9)) != positions


def test_a_named_cluster_that_runs_in_place_is_known_by_its_profile(work: Path) -> None:
    profile = ClusterProfile.load_from_dict(
        {
            "batch_type": "Shell",
            "context_type": "LazyLocal",
            "local_root": str(work),
            "retry_count": 1,
        }
    )
    given_ = submission(work, machine=None, cluster="alpha")
    header = prepare(given_, clusters={"alpha": profile}).header
    assert header.in_place
    assert header.machine is None
    assert header.policy.retry_count == 1
    assert header.source == str((work / "work").resolve())
    elsewhere = prepare(given_, directory=str(work)).header
    assert not elsewhere.in_place


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ntasks_per_node", 1),
        ("cpus_per_task", 2),
        ("memory_per_node", "4GB"),
        ("time_limit", "1h"),
        ("account", "physics"),
        ("qos", "high"),
        ("constraint", "skylake"),
        ("exclusive", True),
        ("exclude_nodes", ["n3"]),
    ],
)
def test_what_a_template_of_the_header_leaves_out_is_not_dropped_in_silence(
    work: Path, field: str, value: Any
) -> None:
    strategy = {"customized_script_header_template_file": "header.sh"}
    given: dict[str, Any] = {field: value}
    resources = Resources(group_size=1, strategy=strategy, **given)  # type: ignore[arg-type]
    (work / "header.sh").write_text("#SBATCH -N {number_node}\n")
    [problem] = problems(work, resources=resources)
    assert problem.startswith(f"resources.{field}: is not said by")
    (work / "header.sh").write_text(f"#SBATCH --x {{{field}}}\n")
    assert prepared(work, resources=resources).header.header_template


def test_what_is_no_template_of_the_header_is_told_before_anything_is_handed_over(
    work: Path,
) -> None:
    (work / "header.sh").write_text("#SBATCH -N {nodes}\n")
    strategy = Strategy(customized_script_header_template_file="header.sh")
    (problem,) = problems(work, resources=Resources(group_size=1, strategy=strategy))
    assert "customized_script_header_template_file: KeyError('nodes')" in problem


def test_a_template_of_the_header_says_words_of_its_own(work: Path) -> None:
    strategy = {"customized_script_header_template_file": "header.sh"}
    given = {"group_size": 1, "kwargs": {"qos": "short", "pe_name": "smp"}}
    resources = Resources.load_from_dict({**given, "strategy": strategy})
    (work / "header.sh").write_text("#SBATCH --qos={kwargs[qos]}\n")
    header = prepared(work, resources=resources).header
    again = Resources.load_from_dict(header.resources.serialize())
    assert custom_header(header.header_template or "", again) == ["#SBATCH --qos=short"]
    (work / "header.sh").write_text("#SBATCH -N {number_node}\n")
    [problem] = problems(work, resources=resources)
    assert problem.startswith("resources.kwargs.qos: is no known key, and")
    with pytest.raises(BadInput, match=r"kwargs\.qos: is no known key"):
        Resources.load_from_dict(given)


def test_the_template_of_the_header_travels_as_text(work: Path) -> None:
    (work / "header.sh").write_text("#SBATCH -N {number_node}\n", encoding="utf-8")
    strategy = {"customized_script_header_template_file": "header.sh"}
    resources = Resources.load_from_dict({"group_size": 1, "strategy": strategy})
    assert (
        prepared(work, resources=resources).header.header_template == "#SBATCH -N {number_node}\n"
    )
    (work / "header.sh").rename(work / "heade.sh")
    (problem,) = problems(work, resources=resources)
    assert problem.startswith(
        "resources.strategy.customized_script_header_template_file: there is no"
    )
    assert problem.endswith("did you mean 'heade.sh'?")


def test_an_absolute_work_base_does_not_need_local_root(work: Path) -> None:
    machine = Machine(batch_type="Shell", context_type="Local", remote_root="r")
    header = prepared(work, machine=machine, work_base=str(work / "work")).header
    assert header.source == str((work / "work").resolve())


@pytest.mark.parametrize("name", ["a b", "it's", "$(id)", "-rf", "[x]", "ünï", "a\tb", "*"])
def test_files_and_directories_of_every_legal_name_are_taken(work: Path, name: str) -> None:
    (work / "work" / name).mkdir()
    (work / "work" / name / name).write_bytes(b"x")
    (spec,) = prepared(work, task(0, task_work_path=name, forward_files=[name])).tasks
    assert (spec.path, spec.forward) == (name, (name,))


def test_a_found_name_with_a_line_break_is_refused_with_the_reason(work: Path) -> None:
    (work / "work" / "task0" / "a\nb.dat").write_bytes(b"")
    (problem,) = problems(work, task(0, forward_files=["*.dat"]))
    assert "holds a line break; rename the file" in problem


def test_a_plain_dict_is_checked_before_its_files_are(work: Path) -> None:
    with pytest.raises(BadInput, match="did you mean 'task_list'"):
        prepare({"work_base": "work", "task_lst": []})


def test_a_link_to_nothing_is_told_and_not_meant(work: Path) -> None:
    (work / "work" / "task0" / "model").symlink_to("gone")
    (problem,) = problems(work, task(0, forward_files=["model"]))
    assert problem.endswith("'model': is a link to 'gone', which is not there")


@pytest.mark.parametrize("name", ["pipe", "socket", "link"])
def test_what_spoils_a_directory_is_named(work: Path, name: str) -> None:
    place = work / "work" / "task0" / "d"
    place.mkdir()
    spoiler = place / name
    if name == "pipe":
        os.mkfifo(spoiler)
    elif name == "link":
        spoiler.symlink_to("gone")
    else:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(spoiler))
    (problem,) = problems(work, task(0, forward_files=["d"]))
    assert f"/task0/d/{name}' " in problem


def test_a_file_as_work_base_is_told_to_be_one(work: Path) -> None:
    (problem,) = problems(work, work_base="work/graph.pb")
    assert "graph.pb' is no directory" in problem
    assert "did you mean" not in problem
