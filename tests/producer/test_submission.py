"""Submission as users of DPDispatcher know it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from jobferry import BadInput, Job, JobStatus, Machine, Resources, Submission, Task, WorkFailed
from jobferry.waiting import coming_back
from jobferry_common.states import RunState
from tests.testbed.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobferry.client import Client
    from tests.producer.stage import Stage

    Beside = Callable[[Callable[[], object]], None]


def machine() -> Machine:
    return Machine(
        batch_type="Shell", context_type="LocalContext", local_root=".", remote_root="remote"
    )


def task(name: str) -> Task:
    return Task(
        command="cat in > out",
        task_work_path=name,
        forward_files=["in"],
        backward_files=["out"],
    )


@pytest.fixture
def submission(work: Path) -> Submission:
    assert (work / "work").is_dir()
    return Submission("work", machine(), Resources(group_size=1), task_list=[task("a"), task("b")])


def test_it_is_made_of_paths_and_of_nothing_as_dpdispatcher_takes_them(work: Path) -> None:
    found = Submission(Path("work"), machine(), Resources(group_size=1), None, None, task_list=None)
    assert (found.work_base, found.forward_common_files, found.task_list) == ("work", [], [])
    assert found.belonging_tasks is found.task_list
    found.register_task(task("a"))
    assert (work / found["work_base"]).is_dir()
    assert found.serialize() == {**found.serialize(True), "belonging_jobs": []}
    with pytest.raises(BadInput, match="work_base: expected text"):
        Submission(5, machine(), Resources(group_size=1), task_list=[task("a")]).model()  # type: ignore[arg-type]


def test_a_run_may_say_that_it_continues_on_failure(submission: Submission) -> None:
    submission.run_submission(dry_run=True, continue_on_failure=True)
    assert submission.model().continue_on_failure
    submission.run_submission(dry_run=True)
    assert submission.model().continue_on_failure


def test_what_dpdispatcher_wrote_down_before_there_were_jobs_is_read(
    submission: Submission,
) -> None:
    written = submission.serialize()
    tasks = written.pop("task_list")
    written |= {"belonging_tasks": tasks, "belonging_jobs": [], "_abs_work_base": "/work"}
    assert Submission.deserialize(written).model() == submission.model()


def test_a_job_is_made_and_read_in_the_ways_of_dpdispatcher(submission: Submission) -> None:
    assert isinstance(submission.resources, Resources)
    job = Job(submission.task_list, resources=submission.resources, machine=submission.machine)
    assert job == Job.deserialize(job.serialize(False), machine=submission.machine)
    [(name, written)] = job.serialize(True).items()
    never = {**written, "job_state": None, "job_id": "", "failure_reason": None}
    assert Job.deserialize({name: never}).job_state is JobStatus.unsubmitted
    with pytest.raises(BadInput, match="job: resources: is missing"):
        Job.deserialize({name: {"job_task_list": []}})


def plain() -> dict[str, object]:
    """Return a submission as DPDispatcher's files have it."""
    return {
        "_comment": "a submission",
        "work_base": "work",
        "machine": {
            "batch_type": "shell",
            "context_type": "local",
            "local_root": ".",
            "remote_root": "remote",
        },
        "resources": {"group_size": 1},
        "task_list": [
            {"command": "cat in > out", "task_work_path": "a", "forward_files": ["in"]},
            {"command": "cat in > out", "task_work_path": "b", "forward_files": ["in"]},
        ],
    }


def test_a_submission_is_built_step_by_step(work: Path) -> None:
    submission = Submission(work_base="work", resources=Resources(group_size=1))
    submission.bind_machine(machine())
    submission.register_task(task("a"))
    submission.register_task_list([task("b")])
    submission.forward_common_files.append("a/in")
    document = submission.prepare()
    assert [spec.path for spec in document.tasks] == ["a", "b"]
    assert document.header.forward_common == ("a/in",)
    assert document.header.source == str(work / "work")


def test_the_older_form_works(work: Path) -> None:
    file = work / "machine.json"
    file.write_text(
        json.dumps({"batch": plain()["machine"], "resources": {"number_node": 1, "group_size": 2}})
    )
    old = Machine.load_from_json_file(str(file))
    submission = Submission("work", old.resources, forward_common_files=[])
    submission.register_task_list([task("a"), task("b")])
    submission.generate_jobs()  # before a target is bound, as its users had it
    submission.bind_batch(old.batch)
    [job] = submission.belonging_jobs
    assert len(job.job_task_list) == 2
    assert job.resources.group_size == 2
    assert submission.prepare().header.jobs == 1


def test_plain_values_come_back_with_another_machine(work: Path) -> None:
    first = Submission.load_from_dict(plain())
    same = Submission.deserialize(submission_dict=first.serialize())
    assert same.submission_hash == first.submission_hash
    elsewhere = Machine(
        batch_type="Slurm", context_type="Local", local_root=str(work), remote_root="/scratch"
    )
    other = Submission.deserialize(submission_dict=first.serialize(), machine=elsewhere)
    assert other.machine == elsewhere
    assert other.prepare().header.tasks == first.prepare().header.tasks
    assert Submission.deserialize(first.serialize(), "hpc1").cluster == "hpc1"


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_files_are_read(form: str, work: Path) -> None:
    file = work / f"submission.{form}"
    file.write_text(json.dumps(plain()) if form == "json" else yaml.safe_dump(plain()))
    named = getattr(Submission, f"load_from_{form}")(file)
    assert named.prepare() == Submission.load(file).prepare()
    assert named.task_list[1].task_work_path == "b"


def test_toml_is_read(work: Path) -> None:
    (work / "s.toml").write_text(
        'work_base = "work"\ncluster = "hpc1"\nresources.group_size = 1\n'
        '[[task_list]]\ncommand = "true"\ntask_work_path = "a"\n'
    )
    assert Submission.load_from_toml(work / "s.toml").cluster == "hpc1"


def test_another_cluster_takes_the_place_of_the_files_target(work: Path) -> None:
    data = plain()
    data["machine"] = {**machine().serialize(), "local_root": str(work)}
    (work / "s.json").write_text(json.dumps(data))
    submission = Submission.load(work / "s.json", cluster="hpc1")
    header = submission.prepare(clusters={}).header
    assert (header.cluster, header.machine) == ("hpc1", None)
    assert header.source == str(work / "work")


@pytest.mark.usefixtures("work")
def test_a_dict_is_taken_as_a_machine() -> None:
    target = {"batch_type": "Shell", "context_type": "LazyLocal", "local_root": "."}
    submission = Submission("work", target, {"group_size": 1}, task_list=[task("a")])
    assert submission.prepare().header.in_place


def test_serialized_is_what_can_be_read_again(submission: Submission) -> None:
    again = Submission.load_from_dict(json.loads(json.dumps(submission.serialize())))
    assert again.prepare() == submission.prepare()
    assert again.submission_hash == submission.submission_hash


def test_its_hash_is_known_before_its_files_are_there(submission: Submission, work: Path) -> None:
    known = submission.submission_hash
    (work / "work").rename(work / "elsewhere")
    assert submission.get_hash() == known
    with pytest.raises(BadInput, match="work_base: there is no directory"):
        submission.prepare()
    (work / "elsewhere").rename(work / "work")
    (work / "work/a/in").write_text("other input\n")
    assert submission.submission_hash == known == submission.prepare().header.submission


def test_a_template_of_the_header_is_part_of_the_hash(submission: Submission, work: Path) -> None:
    strategy = {"customized_script_header_template_file": "head"}
    submission.resources = Resources.load_from_dict({"group_size": 1, "strategy": strategy})
    with pytest.raises(BadInput, match="there is no file"):
        submission.get_hash()
    (work / "head").write_text("# one\n")
    first = submission.get_hash()
    (work / "head").write_text("# two\n")
    assert submission.get_hash() == submission.prepare().header.submission != first


def test_all_that_is_missing_is_told_at_once() -> None:
    with pytest.raises(BadInput) as caught:
        Submission("work").model()
    where = {problem.where for problem in caught.value.problems}
    assert where == {"submission: machine", "submission: resources", "submission: task_list"}


def test_a_wrong_clean_is_told(submission: Submission) -> None:
    submission.clean = "sometimes"
    with pytest.raises(BadInput, match="on_success"):
        submission.prepare()


def test_submitting_returns_at_once(client: Client, submission: Submission) -> None:
    handle = submission.submit()
    assert handle.status().state is RunState.ACCEPTED
    assert submission.handle is handle
    again = submission.submit(client=client)
    assert (again.id, again.attached) == (handle.id, True)


def test_a_dry_run_shows_scripts_and_changes_nothing(
    client: Client, submission: Submission, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = submission.run_submission(dry_run=True)
    out = capsys.readouterr().out
    assert "cat in > out" in out
    assert "#!/bin/bash" in out
    assert plain == submission.serialize(if_static=True)
    assert client.redis.keys("*") == []


def test_a_dry_run_tells_what_is_wrong(submission: Submission, work: Path) -> None:
    (work / "work/b/in").unlink()
    with pytest.raises(BadInput, match=r"task_list\[1\].forward_files"):
        submission.run_submission(dry_run=True)


def test_run_submission_returns_once_the_results_are_here(
    client: Client, stage: Stage, submission: Submission, beside: Beside
) -> None:
    def finish() -> None:
        wait_until(client.ledger.runs, "it was submitted")
        stage.finish(client.ledger.runs()[0].id)

    beside(finish)
    plain = submission.run_submission(check_interval=1, clean=False)
    assert submission.handle is not None
    assert plain["_run"] == submission.handle.id
    assert client.ledger.header(submission.handle.id).policy.clean == "never"


def test_run_submission_raises_when_work_failed(
    client: Client, stage: Stage, submission: Submission, beside: Beside
) -> None:
    def fail() -> None:
        wait_until(client.ledger.runs, "it was submitted")
        stage.fail(client.ledger.runs()[0].id, 1)

    beside(fail)
    with pytest.raises(WorkFailed, match="task 1 in b: exit code 3: cat in > out"):
        submission.run_submission()


def test_run_submission_need_not_wait(client: Client, submission: Submission) -> None:
    submission.run_submission(exit_on_submit=True)
    assert [run.state for run in client.ledger.runs()] == [RunState.ACCEPTED]


def test_it_runs_beside_other_coroutines(
    client: Client, stage: Stage, submission: Submission
) -> None:
    async def both() -> dict[str, object]:
        running = asyncio.create_task(submission.async_run_submission())
        while not client.ledger.runs():
            await asyncio.sleep(0.02)
        stage.finish(client.ledger.runs()[0].id)
        return await running

    assert asyncio.run(both())["work_base"] == "work"


def test_an_interrupt_leaves_the_work_and_says_how_to_come_back(
    client: Client,
    submission: Submission,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("jobferry.waiting.wait_shown", interrupted)
    with pytest.raises(KeyboardInterrupt):
        submission.run_submission()
    [run] = client.ledger.runs()
    assert run.state is RunState.ACCEPTED
    assert not run.cancel
    assert coming_back(run.id) in capsys.readouterr().err
