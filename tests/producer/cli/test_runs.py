"""Commands about runs, with the worker played by the test."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.states import ResultsState, RunState
from tests.common.ledger.documents import document
from tests.testbed.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jobferry.client import Client
    from jobferry_common.names import RunId
    from tests.producer.cli.conftest import Done
    from tests.producer.stage import Stage

    Beside = Callable[[Callable[[], object]], None]
    Command = Callable[..., Done]


def submitted(client: Client, number: int = 1, **fields: Any) -> RunId:
    """Return a new run of three jobs."""
    return client.accept(document(number, **fields)).run


def test_submit_hands_over_and_prints_the_run(
    jobferry: Command, file: Path, client: Client
) -> None:
    done = jobferry("submit", str(file), "--exit-on-submit")
    [run] = client.ledger.runs()
    assert (done.code, done.out) == (0, f"{run.id}\n")
    assert run.name == "greetings"
    assert run.jobs == 2


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (("--no-wait",), ["reading", "checking files", "handing over"]),
        (("--dry-run",), ["reading", "checking files"]),
    ],
)
def test_what_takes_long_for_many_tasks_is_shown(
    jobferry: Command,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    shown: list[str],
) -> None:
    told: list[str] = []

    def working(what: str) -> nullcontext[None]:
        told.append(what.removesuffix(f" {file}"))
        return nullcontext()

    monkeypatch.setattr("jobferry.progress.working", working)
    assert jobferry("submit", str(file), *options).code == 0
    assert told == shown


def test_what_is_missing_is_told_by_file_and_path(jobferry: Command, file: Path) -> None:
    data = json.loads(file.read_text())
    data["task_list"][1]["forward_files"] = ["inn"]
    data["task_list"][0]["forward_files"] = ["no"]
    file.write_text(json.dumps(data))
    done = jobferry("submit", str(file))
    assert done.code == 2
    first, second = done.err.splitlines()
    assert first.startswith("jobferry: submission.json: task_list[0].forward_files: 'no': there is")
    assert "submission.json: task_list[1].forward_files: 'inn'" in second
    assert "did you mean 'in'?" in second


def test_submit_as_json_prints_the_run(jobferry: Command, file: Path) -> None:
    done = jobferry("submit", str(file), "--no-wait", "--json")
    assert done.json["state"] == "accepted"
    assert done.json["counts"]["pending"] == 2


def test_submitting_again_joins_and_says_so(jobferry: Command, file: Path, client: Client) -> None:
    jobferry("submit", str(file), "--exit-on-submit")
    done = jobferry("submit", str(file), "--exit-on-submit")
    assert "in flight already" in done.err
    assert len(client.ledger.runs()) == 1


def test_options_of_submit_reach_the_run(jobferry: Command, file: Path, client: Client) -> None:
    jobferry("submit", str(file), "--no-wait", "--no-clean", "--continue-on-failure")
    policy = client.ledger.header(client.ledger.runs()[0].id).policy
    assert (policy.clean, policy.continue_on_failure) == ("never", True)


def test_a_dry_run_shows_scripts_and_submits_nothing(
    jobferry: Command, file: Path, client: Client
) -> None:
    done = jobferry("submit", str(file), "--dry-run")
    assert done.code == 0
    assert "2 tasks in 2 jobs" in done.err
    assert "#!/bin/bash" in done.out
    assert jobferry("submit", str(file), "--dry-run", "--json").json["jobs"] == 2
    assert client.redis.keys("*") == []


def test_every_fault_of_a_file_is_told_at_once(
    jobferry: Command, file: Path, client: Client
) -> None:
    data = json.loads(file.read_text())
    data["resources"] = {"gruop_size": 1}
    data["task_list"][1]["command"] = 5
    file.write_text(json.dumps(data))
    done = jobferry("submit", str(file))
    assert done.code == 2
    assert "submission.json: resources.gruop_size: is no known key; did you mean" in done.err
    assert "submission.json: task_list[1].command: expected text, got 5" in done.err
    assert client.ledger.runs() == []


def test_an_unknown_cluster_is_told(jobferry: Command, file: Path) -> None:
    done = jobferry("submit", str(file), "--cluster", "hpc1")
    assert done.code == 2
    assert "no cluster 'hpc1'" in done.err


def test_references_must_be_allowed(jobferry: Command, file: Path) -> None:
    data = json.loads(file.read_text())
    (file.parent / "resources.json").write_text(json.dumps(data["resources"]))
    data["resources"] = {"$ref": "resources.json"}
    file.write_text(json.dumps(data))
    assert "--allow-ref" in jobferry("submit", str(file), "--no-wait").err
    assert jobferry("submit", str(file), "--no-wait", "--allow-ref").code == 0


def test_status_lists_the_newest_first(jobferry: Command, client: Client) -> None:
    one, two = submitted(client, 1, name="first"), submitted(client, 2)
    done = jobferry("status")
    assert [line.split()[0] for line in done.out.splitlines()] == ["run", two, one]
    assert "pending 3" in done.out
    assert "first" in done.out
    assert [run["run"] for run in jobferry("status", "--json").json] == [two, one]


def test_status_without_runs_says_how_to_begin(jobferry: Command, client: Client) -> None:
    assert client.ledger.runs() == []
    assert "jobferry submit" in jobferry("status").err
    assert jobferry("status", "--json").json == []


def test_status_of_a_run_goes_by_a_prefix(jobferry: Command, client: Client, stage: Stage) -> None:
    run = submitted(client, 0xABC)
    stage.run_job(run, 0)
    stage.fail(run, 2, code=9)
    done = jobferry("status", "000000000a")
    assert run in done.out
    assert "exit code 9" in done.out
    data = jobferry("status", "000000000a", "--json").json
    assert [job["state"] for job in data["job_list"]] == ["finished", "pending", "failed"]
    assert data["failures"][0]["code"] == 9


def test_status_says_why_a_run_waits(jobferry: Command, client: Client) -> None:
    run = submitted(client)
    assert "no worker serves alpha: jobferry worker --cluster alpha" in jobferry("status", run).out


def test_status_shows_few_jobs_unless_asked(jobferry: Command, client: Client) -> None:
    run = submitted(client, tasks=30)
    assert f"10 more jobs: jobferry status {run} --jobs" in jobferry("status", run).err
    assert len(jobferry("status", run, "--jobs").out.splitlines()) > 30


@pytest.mark.parametrize(
    "command", ["status", "watch", "logs", "cancel", "retry", "fetch", "clean"]
)
def test_an_unknown_id_is_told(jobferry: Command, client: Client, command: str) -> None:
    run = submitted(client)
    done = jobferry(command, run[:-3] + "999")
    assert done.code == 2
    assert "no run begins with" in done.err
    assert run in done.err


def test_watch_ends_with_the_run(jobferry: Command, client: Client, stage: Stage) -> None:
    run = submitted(client)
    stage.finish(run)
    done = jobferry("watch", run)
    assert done.code == 0
    assert f"run {run} finished: 3 jobs in" in done.err
    assert jobferry("watch", run, "--json").json["state"] == "finished"


def test_watch_of_a_failed_run_is_1_and_shows_what_failed(
    jobferry: Command, client: Client, stage: Stage, tmp_path: Path
) -> None:
    run = submitted(client, source=str(tmp_path))
    (tmp_path / "task.0").mkdir()
    (tmp_path / "task.0/err").write_text("no [bold]minimum[/bold] found\n")
    stage.fail(run)
    done = jobferry("watch", run)
    assert done.code == 1
    assert "no [bold]minimum[/bold] found" in done.out
    assert f"jobferry retry {run}" in done.err
    data = jobferry("watch", run, "--json")
    assert data.code == 1
    assert data.json["failures"][0]["stderr"] == ["no [bold]minimum[/bold] found"]


def test_cancel_wishes_the_end(jobferry: Command, client: Client) -> None:
    run = submitted(client)
    assert "jobferry watch" in jobferry("cancel", run).err
    assert client.ledger.run(run).cancel
    assert jobferry("cancel", run, "--json").json["cancel"]


def test_cancel_of_a_run_that_ended_says_so(
    jobferry: Command, client: Client, stage: Stage
) -> None:
    run = submitted(client)
    stage.finish(run)
    assert "had ended before: finished" in jobferry("cancel", run).err


def test_retry_goes_on_in_a_new_run(jobferry: Command, client: Client, stage: Stage) -> None:
    run = submitted(client)
    stage.run_job(run, 0)
    stage.fail(run, 1)
    done = jobferry("retry", run, "--no-wait", "--json")
    assert done.json["run"] == run.replace("-1", "-2")
    assert done.json["taken_over"] == 1
    assert f"goes on where {run} stopped: 1 task is taken over" in done.err
    shown = jobferry("status", done.json["run"]).out
    assert f"resumes   {run}, whose results of 1 task are taken over" in shown
    assert jobferry("retry", done.json["run"]).code == 2


def test_clean_removes_what_is_known(jobferry: Command, client: Client, stage: Stage) -> None:
    run = submitted(client)
    assert jobferry("clean", run).code == 2
    stage.finish(run)
    client.ledger.change_run(run, results=ResultsState.CLEANED)
    assert jobferry("clean", run, "--json").json == {"run": run, "cleaned": True}
    assert client.ledger.runs() == []


def test_results_are_fetched_once_more_until_all_are_here(
    jobferry: Command, client: Client, stage: Stage, beside: Beside
) -> None:
    run = submitted(client)
    stage.finish(run)
    client.ledger.note_lack(run, "'out' stays on the cluster")

    def worker(lack: str) -> None:
        ledger = client.ledger
        wait_until(lambda: ledger.run(run).results is ResultsState.REMOTE, "it is asked for")
        assert set(ledger.to_collect(run)) == set(range(ledger.run(run).jobs))
        if lack:
            ledger.note_lack(run, lack)
        ledger.change_run(run, results=ResultsState.DELIVERED)

    beside(lambda: worker("'out' stays there"))
    done = jobferry("fetch", run, "--json")
    assert (done.code, done.json["lack"]) == (1, "'out' stays there")
    beside(lambda: worker(""))
    done = jobferry("fetch", run)
    assert (done.code, done.err) == (0, f"run {run}: all results are here\n")
    client.ledger.change_run(run, results=ResultsState.CLEANED)
    done = jobferry("fetch", run)
    assert done.code == 2
    assert "nothing is left to fetch" in done.err


def test_logs_show_what_came_back(
    jobferry: Command, client: Client, stage: Stage, tmp_path: Path
) -> None:
    run = submitted(client, source=str(tmp_path))
    for number in range(2):
        (tmp_path / f"task.{number}").mkdir()
        (tmp_path / f"task.{number}/log").write_text(f"line of {number}\n")
    stage.finish(run)
    assert jobferry("logs", run, "1").out == "line of 1\n"
    assert "==> task 0 (task.0): outlog <==\nline of 0\n" in jobferry("logs", run).out
    assert jobferry("logs", run, "task.1", "--json").json_lines == [
        {"task": 1, "name": "task.1", "stream": "outlog", "text": "line of 1"}
    ]
    assert "none came back" in jobferry("logs", run, "2").err
    assert jobferry("logs", run, "7").code == 2


def test_logs_of_a_silent_task_are_empty(
    jobferry: Command, client: Client, stage: Stage, tmp_path: Path
) -> None:
    run = submitted(client, source=str(tmp_path))
    (tmp_path / "task.1").mkdir()
    (tmp_path / "task.1/log").touch()
    stage.finish(run)
    done = jobferry("logs", run, "1")
    assert (done.code, done.out, done.err) == (0, "", "nothing was printed\n")


@pytest.mark.timeout(60)
def test_logs_of_one_task_are_followed_to_its_end_and_not_to_that_of_the_run(
    jobferry: Command, client: Client, stage: Stage, tmp_path: Path
) -> None:
    run = submitted(client, source=str(tmp_path))
    (tmp_path / "task.1").mkdir()
    (tmp_path / "task.1/log").write_text("done\n")
    stage.run_job(run, 1)
    client.ledger.collected(run, [1])
    assert jobferry("logs", run, "1", "--follow").out == "done\n"
    assert not client.ledger.run(run).state.is_final


def test_events_of_a_run_are_told_in_order(jobferry: Command, client: Client, stage: Stage) -> None:
    run = submitted(client, tasks=1)
    stage.fail(run)
    done = jobferry("events", run)
    words = [line.split()[1:] for line in done.out.splitlines()]
    assert words[0] == ["run", run, "accepted"]
    assert ["job", f"{run}/0", "failed", "failed,", "exit", "code", "3"] in words
    lines = jobferry("events", run, "--json").json_lines
    assert [event["state"] for event in lines if event["kind"] == "job"][-1] == "failed"
    rest = jobferry("events", run, "--json", "--after", lines[1]["cursor"]).json_lines
    assert rest == lines[2:]


def test_the_events_of_a_run_that_ended_tell_where_its_results_are(
    jobferry: Command, client: Client, stage: Stage
) -> None:
    run = submitted(client, tasks=1)
    stage.finish(run)
    lines = jobferry("events", run).out.splitlines()
    assert lines[-2].endswith("finished  results remote")
    assert lines[-1].endswith("finished  results delivered")
    assert lines[0].endswith("accepted")


def test_a_run_that_lacks_a_result_is_no_success(
    jobferry: Command, client: Client, stage: Stage
) -> None:
    run = submitted(client, source="/home/alice/work")
    stage.finish(run)
    done = jobferry("watch", run)
    assert (done.code, done.err.splitlines()[-1]) == (0, "the results are in /home/alice/work")
    client.ledger.note_lack(run, "'out' stays on the cluster")
    client.ledger.change_run(run, reason="a result is missing: 'out' stays on the cluster")
    done = jobferry("watch", run)
    assert done.code == 1
    assert done.err.splitlines()[-1] == "a result is missing: 'out' stays on the cluster"
    assert jobferry("watch", run, "--json").json["lack"] == "'out' stays on the cluster"


def test_followed_events_end_with_the_run(
    jobferry: Command,
    client: Client,
    stage: Stage,
    beside: Callable[[Callable[[], object]], None],
) -> None:
    run = submitted(client)
    beside(lambda: stage.finish(run))
    lines = jobferry("events", run, "--follow", "--json").json_lines
    assert lines[-1]["results"] == "delivered"


def test_events_of_everything_name_their_runs(
    jobferry: Command, client: Client, stage: Stage
) -> None:
    one, two = submitted(client, 1), submitted(client, 2)
    stage.deliver(one, RunState.CANCELLED)
    lines = jobferry("events", "--json").json_lines
    assert {event["run"] for event in lines} == {one, two}


def test_a_limit_that_no_broker_takes_is_refused(jobferry: Command) -> None:
    done = jobferry("status", "--limit", "9" * 20)
    assert done.code == 2
    assert "--limit" in done.err
