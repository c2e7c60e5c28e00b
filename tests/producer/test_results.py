"""What came of a run, told from the exit records where they can be seen, else from the ledger."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobferry.results import describe, failures_of, shortened
from jobferry_common.ledger.findings import FailedTask
from jobferry_common.names import AttemptKey
from jobferry_common.scripts.layout import Layout
from jobferry_common.states import RunState
from tests.common.ledger.documents import document

if TYPE_CHECKING:
    from jobferry.client import Client
    from jobferry.handle import Handle
    from tests.producer.stage import Stage

RECORD = """jobferry 1
attempt 0.1
id 4711
provisional 0
started 1700000000.1
ended 1700000002.5
reason
task 0 0 1700000000.2 1700000001.0
task 2 7 1700000000.2 1700000002.4
task 1 0 1700000000.2 1700000002.4
missing out.dat
end
"""


@pytest.fixture
def handle(client: Client, tmp_path: Path) -> Handle:
    """A run of one job with three tasks, whose machine is a directory beside it."""
    machine = {"batch_type": "Shell", "context_type": "Local", "remote_root": str(tmp_path)}
    text = document(group=3, machine=machine, cluster="inline-0123456789", source=str(tmp_path))
    return client.handle(client.accept(text).run)


def fail(client: Client, handle: Handle, reason: str = "") -> None:
    """Let the only job fail on the cluster of the run."""
    ledger = client.ledger
    ledger.change_run(handle.id, state=RunState.FAILED, reason=reason)


def test_each_failed_task_is_told_with_its_code(
    client: Client, stage: Stage, handle: Handle, tmp_path: Path
) -> None:
    layout = Layout.of(client.ledger.header(handle.id), handle.id, str(tmp_path), client.ledger.id)
    record = Path(layout.record(AttemptKey(0, 1)))
    record.parent.mkdir(parents=True)
    record.write_text(RECORD)
    stage.run_job(handle.id, 0, code=7, reason="2 of 3 tasks failed, the first: exit code 7")
    fail(client, handle)
    told = [(failure.who, failure.what) for failure in failures_of(client, handle.status())]
    assert told == [
        ("task 2 in task.2", "exit code 7"),
        ("task 1 in task.1", "missing after the task: out.dat"),
    ]


def test_failures_come_in_the_order_of_the_tasks(
    client: Client, stage: Stage, handle: Handle, tmp_path: Path
) -> None:
    layout = Layout.of(client.ledger.header(handle.id), handle.id, str(tmp_path), client.ledger.id)
    record = Path(layout.record(AttemptKey(0, 1)))
    record.parent.mkdir(parents=True)
    record.write_text(RECORD)
    stage.run_job(handle.id, 0, code=7)
    fail(client, handle)
    client.ledger.note_lack(handle.id, "'out' stays on the cluster")
    result = handle.outcome(handle.status())
    assert [failure.task for failure in result.failures] == [1, 2]
    assert result.lack == "'out' stays on the cluster"
    assert "'out' stays on the cluster" in describe(result)


def test_without_a_record_the_job_is_told_as_a_whole(
    client: Client, stage: Stage, handle: Handle, tmp_path: Path
) -> None:
    (tmp_path / "task.0").mkdir()
    (tmp_path / "task.0/err").write_text("only a warning\n")
    reason = "2 of 3 tasks failed, the first: exit code 7"
    stage.run_job(handle.id, 0, code=7, reason=reason)
    fail(client, handle, reason="1 of 1 jobs failed")
    result = handle.outcome(handle.status())
    [failure] = result.failures
    assert (failure.task, failure.code) == (None, 7)
    assert (failure.command, failure.stderr) == ("", ())
    assert f"  job 0 of 3 tasks: {reason}\n" in describe(result)


def test_the_right_task_is_told_when_the_cluster_is_cleaned(
    client: Client, stage: Stage, handle: Handle, tmp_path: Path
) -> None:
    for name, text in (("task.0", "only a warning\n"), ("task.1", "no minimum\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "err").write_text(text)
    stage.run_job(handle.id, 0, code=7, reason="2 of 3 tasks failed, the first: exit code 7")
    failed = [FailedTask(task=1, code=7), FailedTask(task=2, code=0, missing=("out.dat",))]
    client.ledger.note_failures(handle.id, {0: failed})
    fail(client, handle)
    told = [
        (one.who, one.what, one.command, one.stderr) for one in failures_of(client, handle.status())
    ]
    assert told == [
        ("task 1 in task.1", "exit code 7", "./sim 1", ("no minimum",)),
        ("task 2 in task.2", "missing after the task: out.dat", "./sim 2", ()),
    ]


def test_a_finished_run_has_no_failures(client: Client, stage: Stage) -> None:
    handle = client.handle(client.accept(document()).run)
    stage.finish(handle.id)
    assert handle.result().failures == ()


def test_of_many_failures_some_are_shown(client: Client, stage: Stage) -> None:
    handle = client.handle(client.accept(document(tasks=13)).run)
    for job in range(13):
        stage.run_job(handle.id, job, code=1)
    fail(client, handle, reason="13 of 13 jobs failed")
    text = describe(handle.outcome(handle.status()))
    assert text.count("exit code 1") == 10
    assert "… and 3 more" in text


def test_a_long_command_is_cut() -> None:
    assert shortened("a  b\nc") == "a b c"
    assert len(shortened("x" * 100)) == 60
