"""The command `jobferry` against a broker, a worker and beat at work: what a user types, what comes back."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from jobferry_common.states import JobState
from tests.testbed.fleet import BIN
from tests.testbed.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.testbed.fleet import Fleet
    from tests.testbed.slurm import SlurmCluster

pytestmark = pytest.mark.needs("valkey")

ROOT: Final = Path(__file__).parents[2]
#: fails the first time it runs
STUMBLE: Final = "if [ ! -e seen ]; then touch seen; echo stumbled >&2; exit 3; fi; cat in > out"
PATIENCE: Final = 120.0


@pytest.fixture
def fleet(fleet_of: Callable[..., Fleet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """A fleet with one cluster, a plain shell on this machine; work lies in the test's directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "remote").mkdir()
    remote = str(tmp_path / "remote")
    shell = {"batch_type": "Shell", "context_type": "Local", "remote_root": remote}
    return fleet_of(
        {"here": {**shell, "max_running_jobs": 4, "commands_per_second": 50.0, "retry_count": 1}}
    )


class Desk:
    """A user's desk: a directory with a submission, and the command."""

    def __init__(self, fleet: Fleet, directory: Path) -> None:
        self.fleet = fleet
        self.directory = directory

    def write(self, *commands: str, **more: Any) -> Path:
        """Write a submission of these commands, with an input file each."""
        for number in range(len(commands)):
            (self.directory / f"work/t{number}").mkdir(parents=True)
            (self.directory / f"work/t{number}/in").write_text(f"input {number}\n")
        data = {
            "work_base": str(self.directory / "work"),
            "cluster": "here",
            "resources": {"group_size": 1},
            "task_list": [
                {
                    "command": command,
                    "task_work_path": f"t{number}",
                    "forward_files": ["in"],
                    "backward_files": ["out"],
                }
                for number, command in enumerate(commands)
            ],
            **more,
        }
        path = self.directory / "submission.json"
        path.write_text(json.dumps(data))
        return path

    def type(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command that has to end with this exit code."""
        done = self.fleet.jobferry(*arguments, limit=PATIENCE)
        assert done.returncode == code, (arguments, done, self.fleet.logs())
        assert "Traceback" not in done.stderr
        return done

    def json(self, *arguments: str, code: int = 0) -> Any:
        """Run a command and return the JSON it prints."""
        return json.loads(self.type(*arguments, "--json", code=code).stdout)


@pytest.fixture
def desk(fleet: Fleet, tmp_path: Path) -> Desk:
    return Desk(fleet, tmp_path)


def test_a_submission_goes_there_and_comes_back(desk: Desk) -> None:
    file = desk.write("cat in > out", "tr a-z A-Z < in | tee out", "cp in out; echo done >&2")
    done = desk.type("submit", str(file))
    assert "finished: 3 jobs" in done.stderr
    assert (desk.directory / "work/t1/out").read_text() == "INPUT 1\n"
    run = desk.json("status")[0]["run"]
    shown = desk.json("status", run[:5])
    assert shown["counts"]["finished"] == 3
    assert shown["results"] in ("delivered", "cleaned")
    assert desk.json("watch", run[:5])["state"] == "finished"
    assert desk.type("logs", run, "1").stdout == "INPUT 1\n"
    lines = desk.type("logs", run, "--json").stdout.splitlines()
    assert {(line["task"], line["text"]) for line in map(json.loads, lines)} == {
        (1, "INPUT 1"),
        (2, "done"),
    }
    events = [json.loads(line) for line in desk.type("events", run, "--json").stdout.splitlines()]
    states = [event["state"] for event in events if event["job"] == 0]
    assert [state for state in states if state not in ("queued", "running")] == [
        "submitting",
        "exited",
        "finished",
    ]


def test_what_fails_is_shown_then_tried_again(desk: Desk) -> None:
    file = desk.write("cat in > out", "echo 'no minimum' >&2; exit 3")
    broken = desk.directory / "work/t1"
    done = desk.type("submit", str(file), "--continue-on-failure", code=1)
    assert "exit code 3" in done.stdout
    assert "no minimum" in done.stdout
    run = desk.json("status")[0]["run"]
    [failure] = desk.json("watch", run, code=1)["failures"]
    assert (failure["task"], failure["code"], failure["stderr"][-1]) == (1, 3, "no minimum")
    assert "no minimum\n" in (broken / "err").read_text()
    again = desk.json("retry", run, "--no-wait")
    assert again["run"].endswith("-2")
    assert again["taken_over"] == 1
    desk.type("watch", again["run"], code=1)


def test_a_job_that_stumbles_is_tried_again_by_itself(desk: Desk) -> None:
    done = desk.type("submit", str(desk.write(STUMBLE)), "--json")
    run = json.loads(done.stdout)
    assert run["state"] == "finished"
    assert desk.json("status", run["run"])["job_list"][0]["attempt"] == 2
    assert (desk.directory / "work/t0/out").read_text() == "input 0\n"


def test_a_running_task_can_be_followed_and_cancelled(desk: Desk) -> None:
    gate = desk.directory / "gate"
    command = f"echo begun; until [ -e '{gate}' ]; do sleep 0.1; done; echo opened; sleep 600"
    done = desk.json("submit", str(desk.write(command)), "--no-wait")
    run = done["run"]
    argv = [str(BIN / "jobferry"), "logs", run, "0", "--follow"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=desk.fleet.env) as logs:
        assert logs.stdout is not None
        assert logs.stdout.readline() == "begun\n"
        assert "begun\n" in desk.type("logs", run).stdout
        gate.touch()
        assert logs.stdout.readline() == "opened\n"
        assert desk.json("cancel", run[:6])["cancel"]
        logs.communicate(timeout=PATIENCE)
    record = desk.json("watch", run, code=1)
    assert record["state"] == "cancelled"
    assert "had ended before: cancelled" in desk.type("cancel", run).stderr


def test_an_interrupt_detaches_and_the_work_goes_on(desk: Desk) -> None:
    """A defect of DPDispatcher: Ctrl-C, TERM and KILL leave jobs running and no way to cancel."""
    go = desk.directory / "go"
    file = desk.write(f"until [ -e '{go}' ]; do sleep 0.1; done; cat in > out")
    argv = [str(BIN / "jobferry"), "submit", str(file)]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, env=desk.fleet.env) as submit:
        ledger = desk.fleet.ledger()
        wait_until(
            lambda: [run.counts[JobState.RUNNING] for run in ledger.runs()] == [1], "it runs"
        )
        submit.send_signal(signal.SIGINT)
        _, err = submit.communicate(timeout=PATIENCE)
    run = ledger.runs()[0].id
    assert submit.returncode == 130
    assert f"jobferry watch {run}" in err
    assert "Traceback" not in err
    go.touch()
    assert "finished" in desk.type("watch", run).stderr


def test_a_run_is_cleaned_from_the_cluster_and_from_the_lists(desk: Desk) -> None:
    desk.type("submit", str(desk.write("cat in > out")), "--no-clean")
    run = desk.json("status")[0]["run"]
    directory = desk.directory / "remote" / run
    assert directory.is_dir()
    assert desk.json("clean", run[:6]) == {"run": run, "cleaned": True}
    assert not directory.exists()
    assert desk.json("status") == []
    assert (desk.directory / "work/t0/out").exists()


def test_a_run_in_flight_is_cleaned_by_force_only(desk: Desk) -> None:
    run = desk.json("submit", str(desk.write("sleep 600")), "--no-wait")["run"]
    assert "in flight" in desk.type("clean", run, code=2).stderr
    desk.type("clean", run, "--force")
    assert desk.json("status") == []
    assert not (desk.directory / "remote" / run).exists()


def test_the_cluster_is_tested_paused_and_resumed(desk: Desk) -> None:
    done = desk.type("cluster", "test", "here")
    assert "FAILED" not in done.stdout
    assert "scheduler" in done.stdout
    desk.type("cluster", "pause", "here", "--reason", "maintenance")
    run = desk.json("submit", str(desk.write("cat in > out")), "--no-wait")["run"]
    assert "maintenance" in desk.type("status", run).stdout
    assert desk.json("cluster", "list")[0]["state"] == "paused: maintenance"
    desk.type("cluster", "resume", "here")
    assert desk.json("watch", run)["state"] == "finished"


def test_the_doctor_finds_a_fleet_in_order(desk: Desk) -> None:
    findings = desk.json("doctor")
    assert [finding for finding in findings if not finding["ok"]] == []
    desk.fleet.worker.stop()
    wait_until(lambda: desk.fleet.jobferry("doctor").returncode == 1, "the doctor misses it")
    assert "jobferry worker --cluster here" in desk.type("doctor", code=1).stdout


def test_the_worker_command_serves_a_cluster(
    fleet_of: Callable[..., Fleet], tmp_path: Path, short_path: Path
) -> None:
    remote = str(tmp_path / "remote")
    shell = {"batch_type": "Shell", "context_type": "Local", "remote_root": remote}
    fleet = fleet_of({"here": shell}, worker=False)
    argv = [str(BIN / "jobferry"), "worker", "--cluster", "here", "--beat", "--concurrency", "2"]
    log = short_path / "worker.log"
    with (
        log.open("wb") as out,
        subprocess.Popen(argv, env=fleet.env, cwd=short_path, stdout=out, stderr=out) as worker,
    ):
        try:
            desk = Desk(fleet, tmp_path)
            assert "finished" in desk.type("submit", str(desk.write("cat in > out"))).stderr
        finally:
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(PATIENCE) == 0, log.read_text()


def test_the_example_submission_runs_on_the_embedded_stack(
    tmp_path: Path, short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.setenv("JOBFERRY_STACK__DIRECTORY", str(short_path / "stack"))
    command = [str(BIN / "jobferry")]
    try:
        done = subprocess.run(
            [*command, "submit", "examples/submission.json", "--json"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["counts"]["finished"] == 2
        message = tmp_path / "examples/greetings/carla/message.txt"
        assert message.read_text() == "Good morning,\ncarla\n"
    finally:
        subprocess.run([*command, "down"], check=True, timeout=PATIENCE)


@pytest.mark.needs("slurm")
def test_the_program_of_the_readme_runs_as_it_stands(
    slurm: SlurmCluster, tmp_path: Path, short_path: Path
) -> None:
    program = (ROOT / "README.md").read_text().partition("```python\n")[2].partition("```")[0]
    places = {"/scratch/me/work": str(tmp_path / "remote"), '"short"': '"main"', "(100)": "(6)"}
    for old, new in places.items():
        assert old in program
        program = program.replace(old, new)
    base = tmp_path / "cases"
    for number in range(6):
        (base / f"case{number}").mkdir(parents=True)
        (base / f"case{number}/in.json").write_text(f"{number}\n")
    (base / "relax.sh").write_text("#!/bin/sh\ncp $1 out.json\n")
    (base / "relax.sh").chmod(0o755)
    env = {**slurm.env(), "JOBFERRY_STACK__DIRECTORY": str(short_path / "stack")}
    argv = [sys.executable, "-c", f"{program}\nprint(handle.status().state)"]
    try:
        done = subprocess.run(
            argv,
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.stdout == "finished\n", done.stderr
        found = [(base / f"case{number}/out.json").read_text() for number in range(6)]
        assert found == [f"{number}\n" for number in range(6)]
    finally:
        subprocess.run([str(BIN / "jobferry"), "down"], env=env, check=True, timeout=PATIENCE)
