"""`run`, `schema`, `convert` and `submission` on the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from jobferry_common.states import ResultsState, RunState
from tests.common.models.test_script import TABLE, script
from tests.testbed.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jobferry.client import Client
    from tests.producer.cli.conftest import Done
    from tests.producer.stage import Stage

    Beside = Callable[[Callable[[], object]], None]
    Run = Callable[..., Done]


def test_a_script_is_handed_over(work: Path, client: Client, jobferry: Run) -> None:
    (work / "work/graph.pb").touch()
    (work / "work/in").touch()
    file = script(work / "work", TABLE.replace("case*", "[ab]"))
    done = jobferry("run", str(file), "--exit-on-submit", "--no-clean")
    assert done.code == 0, done.err
    [record] = client.ledger.runs()
    assert done.out.strip() == record.id
    assert record.tasks == 3
    assert client.ledger.header(record.id).policy.clean == "never"


def test_a_dry_run_of_a_script_submits_nothing(work: Path, client: Client, jobferry: Run) -> None:
    (work / "work/graph.pb").touch()
    (work / "work/in").touch()
    done = jobferry("run", str(script(work / "work", TABLE.replace("case*", "a"))), "--dry-run")
    assert "python ../script.py" in done.out
    assert client.redis.keys("*") == []


def test_a_script_elsewhere_is_copied_and_a_dry_run_leaves_no_copy(
    work: Path, client: Client, jobferry: Run
) -> None:
    (work / "work/graph.pb").touch()
    (work / "work/in").touch()
    file = script(work, TABLE.replace("case*", "a"))
    before = sorted(work.rglob("*"))
    done = jobferry("run", str(file), "--dry-run")
    assert "python ../script_" in done.out
    assert sorted(work.rglob("*")) == before
    done = jobferry("run", str(file), "--exit-on-submit")
    assert done.code == 0, done.err
    [copy] = (work / "work").glob("script_*.py")
    assert str(copy) in done.err
    assert client.ledger.header(client.ledger.runs()[0].id).forward_common == (
        "graph.pb",
        copy.name,
    )


def test_references_of_a_script_are_off_by_default(work: Path, jobferry: Run) -> None:
    table = TABLE.replace('batch_type = "Shell"', '"$ref" = "m.json"')
    (work / "work/m.json").write_text('{"batch_type": "Shell"}')
    file = script(work / "work", table)
    done = jobferry("run", str(file), "--dry-run")
    assert done.code == 2
    assert "--allow-ref" in done.err
    assert "--allow-ref" not in jobferry("run", str(file), "--dry-run", "--allow-ref").err


def test_one_schema_or_all(jobferry: Run) -> None:
    every = jobferry("schema").json
    assert every["machine"] == jobferry("schema", "machine").json
    assert jobferry("schema", "nothing").code == 2


def test_an_older_file_is_rewritten(work: Path, jobferry: Run) -> None:
    old = '{"batch_type": "shell", "context_type": "lazylocal", "local_root": "."}'
    file = work / "m.json"
    file.write_text(old)
    done = jobferry("convert", str(file), "--dry-run")
    assert "batch_type: 'shell' → 'Shell'" in done.err
    assert file.read_text() == old
    assert jobferry("convert", str(file)).code == 0
    assert json.loads(file.read_text())["batch_type"] == "Shell"
    assert "has today's form" in jobferry("convert", str(file)).err


def submitted(client: Client, file: Path, jobferry: Run) -> str:
    jobferry("submit", str(file), "--exit-on-submit")
    return client.ledger.runs()[0].submission


def test_a_submission_is_known_by_its_hash(file: Path, client: Client, jobferry: Run) -> None:
    submission = submitted(client, file, jobferry)
    assert jobferry("submission", submission, "--json").json["submission"] == submission


def test_a_reset_fail_count_tries_again_what_failed(
    file: Path, client: Client, stage: Stage, jobferry: Run
) -> None:
    submission = submitted(client, file, jobferry)
    stage.fail(client.ledger.runs()[0].id)
    done = jobferry("submission", submission, "--reset-fail-count")
    assert done.code == 0, done.err
    assert [run.state for run in client.ledger.runs()] == [RunState.ACCEPTED, RunState.FAILED]


def test_what_ended_is_removed(file: Path, client: Client, stage: Stage, jobferry: Run) -> None:
    submission = submitted(client, file, jobferry)
    run = client.ledger.runs()[0].id
    stage.finish(run)
    both = jobferry("submission", submission, "--clean", "--reset-fail-count")
    assert (both.code, len(client.ledger.runs())) == (2, 1)
    client.ledger.change_run(run, results=ResultsState.CLEANED)
    assert jobferry("submission", submission, "--clean").code == 0
    assert client.ledger.runs() == []


def test_results_and_outputs_are_brought_once_more(
    file: Path, client: Client, stage: Stage, jobferry: Run, beside: Beside
) -> None:
    submission = submitted(client, file, jobferry)
    run = client.ledger.runs()[0].id
    stage.finish(run)

    def worker() -> None:
        ledger = client.ledger
        wait_until(lambda: ledger.run(run).results is ResultsState.REMOTE, "it is asked for")
        ledger.change_run(run, results=ResultsState.DELIVERED)

    for option in ("--download-finished-task", "--download-terminated-log"):
        beside(worker)
        done = jobferry("submission", submission, option)
        assert (done.code, done.err) == (0, f"run {run}: all results are here\n")
