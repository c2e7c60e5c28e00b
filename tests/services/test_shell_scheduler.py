"""The real shell.sh: what it does when things are killed, removed or started again."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jobferry_common.errors import CommandFailed, SubmitBusy
from jobferry_common.names import SchedulerId
from jobferry_common.schedulers.base import Phase
from jobferry_common.schedulers.shell import Shell
from jobferry_common.states import Outcome
from tests.conformance.system import System
from tests.testbed.processes import run, wait_until

WAIT = "until [ -e go ]; do sleep 0.05; done"


@pytest.fixture
def system(tmp_path: Path) -> System:
    work = tmp_path / "work"
    work.mkdir()
    return System(scheduler=Shell(home=f"{tmp_path}/shell", slots=2), directory=work)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "shell" / os.uname().nodename


def go(system: System) -> None:
    (system.directory / "go").touch()


def processes(state: Path, element: str) -> dict[str, int]:
    """Return the pids of an element's runner and of its job, once it leads a group of its own."""

    def read() -> dict[str, int]:
        path = state / "running" / element
        lines = path.read_text().splitlines() if path.exists() else []
        found = {name: int(pid) for name, pid, _ in map(str.split, lines[1:])}
        return found if "job" in found and os.getpgid(found["job"]) == found["job"] else {}

    return wait_until(read, f"{element} was started")


def phases(system: System, *jobs: SchedulerId) -> list[Phase | None]:
    listing = system.look()
    return [listing.jobs[job].phase if job in listing.jobs else None for job in jobs]


def test_no_more_run_than_there_are_slots_and_the_oldest_first(system: System) -> None:
    array = system.submit(f'echo "$JOBFERRY_SHELL_INDEX" >> order; {WAIT}', size=3)
    last = system.submit("echo last >> order")
    elements = system.elements(array, 3)
    system.running(*elements[:2])
    assert phases(system, elements[2], last) == [Phase.QUEUED, Phase.QUEUED]
    go(system)
    system.ended(last)
    lines = system.written("order").split()
    assert sorted(lines[:2]) == ["0", "1"]
    assert lines[2:] == ["2", "last"]


def test_the_default_is_one_job_for_each_cpu(system: System, tmp_path: Path) -> None:
    free = System(scheduler=Shell(home=f"{tmp_path}/shell"), directory=system.directory)
    cpus = len(os.sched_getaffinity(0))
    elements = free.elements(free.submit(WAIT, size=cpus + 1), cpus + 1)
    free.running(*elements[:cpus])
    assert phases(free, elements[cpus]) == [Phase.QUEUED]
    go(free)
    free.ended(elements[cpus])


def test_every_element_of_a_long_array_runs_once(system: System) -> None:
    array = system.submit('echo "$JOBFERRY_SHELL_INDEX" >> ran', size=200)
    wait_until(
        lambda: all(seen.phase is Phase.ENDED for seen in system.look().jobs.values()),
        "all ended",
    )
    ran = sorted(map(int, system.written("ran").split()))
    assert ran == list(range(200))
    assert {system.look().jobs[one].code for one in system.elements(array, 200)} == {0}


def test_submits_at_the_same_moment_get_ids_of_their_own(system: System) -> None:
    commands = [system.scheduler.submit(system.to_submit("echo >> ran")) for _ in range(20)]
    children = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for argv in commands]
    ids = [SchedulerId(child.communicate()[0].strip()) for child in children]
    assert len(set(ids)) == 20
    for job in ids:
        assert system.ended(job).code == 0
    assert len((system.directory / "ran").read_text()) == 20


def test_jobs_outlive_whoever_submitted_them(system: System) -> None:
    argv = system.scheduler.submit(system.to_submit(f"{WAIT}; exit 5"))
    code = "import os, subprocess, sys; subprocess.run(sys.argv[1:]); os.killpg(0, 9)"
    child = subprocess.Popen([sys.executable, "-c", code, *argv], start_new_session=True)
    assert child.wait() == -signal.SIGKILL
    system.running(SchedulerId("1"))
    go(system)
    assert system.ended(SchedulerId("1")).code == 5


def test_a_job_whose_runner_was_killed_runs_on_and_then_is_lost(
    system: System, state: Path
) -> None:
    job = system.submit(WAIT)
    os.kill(processes(state, "1_0")["runner"], signal.SIGKILL)
    waiting = system.submit("true")
    assert phases(system, job) == [Phase.RUNNING]
    go(system)
    assert system.ended(job).outcome is Outcome.LOST
    assert system.ended(waiting).outcome is Outcome.SUCCEEDED


def test_what_waits_is_started_although_every_runner_was_killed(
    system: System, state: Path
) -> None:
    array = system.submit('[ "$JOBFERRY_SHELL_INDEX" -gt 1 ] || sleep 300', size=4)
    for element in ("1_0", "1_1"):
        for pid in processes(state, element).values():
            os.kill(pid, signal.SIGKILL)
    outcomes = [system.ended(element).outcome for element in system.elements(array, 4)]
    assert outcomes == [Outcome.LOST, Outcome.LOST, Outcome.SUCCEEDED, Outcome.SUCCEEDED]


def test_processes_of_a_killed_job_do_not_stay(system: System, state: Path) -> None:
    job = system.submit("sleep 300 & echo $! > pid; wait")
    pid = int(system.written("pid"))
    for one in processes(state, "1_0").values():
        os.kill(one, signal.SIGKILL)
    assert system.ended(job).outcome is Outcome.LOST
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "its child is gone")


def test_processes_that_a_job_leaves_behind_end_with_it(system: System) -> None:
    job = system.submit("sleep 300 & echo $! > pid")
    pid = int(system.written("pid"))
    assert system.ended(job).outcome is Outcome.SUCCEEDED
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "its child is gone")


def test_a_process_that_got_the_number_of_an_old_one_is_left_alone(
    system: System, state: Path
) -> None:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    stranger = subprocess.Popen(["sleep", "300"], start_new_session=True)
    job = system.submit("true")
    system.ended(job)
    lines = state / "jobs" / "1"
    lines.write_text("".join(lines.read_text().splitlines(keepends=True)[:2]))
    place = state / "running" / "1_0"
    place.write_text(f"{boot}\nrunner {stranger.pid} 7\njob {stranger.pid} 7\ncancelled\n")
    assert system.ended(job).outcome is Outcome.CANCELLED
    place.write_text(f"{boot}\nrunner {stranger.pid} 7\njob {stranger.pid} 7\n")
    system.cancel(job)
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_a_reboot_ends_what_ran_and_starts_what_waited(system: System, state: Path) -> None:
    running = system.submit("sleep 300", size=2)
    waiting = system.submit("true")
    pids = [processes(state, f"1_{index}") for index in (0, 1)]
    with (state / "lock").open("a") as lock:
        # a machine that goes down leaves nobody who could see it happen
        fcntl.flock(lock, fcntl.LOCK_EX)
        for index, one in enumerate(pids):
            os.kill(one["runner"], signal.SIGKILL)
            os.killpg(one["job"], signal.SIGKILL)
            place = state / "running" / f"1_{index}"
            lines = place.read_text().splitlines()[1:]
            place.write_text("\n".join(["00000000-of-another-boot", *lines, ""]))
    ends = [system.ended(element).outcome for element in system.elements(running, 2)]
    assert ends == [Outcome.NODE_FAILURE, Outcome.NODE_FAILURE]
    assert system.ended(waiting).outcome is Outcome.SUCCEEDED


def test_a_job_that_ignores_the_request_to_end_is_killed(system: System) -> None:
    job = system.submit("trap '' TERM; echo > up; while :; do sleep 0.2; done")
    system.written("up")
    system.cancel(job)
    assert system.ended(job).outcome is Outcome.CANCELLED


def forget(system: System, *jobs: SchedulerId) -> None:
    argv = system.scheduler.forget(jobs)
    assert argv is not None
    system.run(argv).checked()


def test_ended_jobs_leave_the_listing_when_nobody_asks_any_more(
    system: System, state: Path
) -> None:
    done, running = system.submit("true"), system.submit(WAIT)
    system.ended(done)
    system.running(running)
    forget(system, done)
    assert set(system.look().jobs) == {running}
    go(system)
    system.ended(running)
    forget(system, running)
    assert not system.look().jobs
    assert not list((state / "jobs").iterdir())
    assert int(system.submit("true")) == int(running) + 1


def test_a_job_that_is_forgotten_while_it_runs_leaves_at_its_end(
    system: System, state: Path
) -> None:
    """A job tells its own end, by its record, before its last process is over."""
    single, array = system.submit(WAIT), system.submit(WAIT, size=2)
    elements = system.elements(array, 2)
    system.running(single, elements[0])
    forget(system, single, elements[1], elements[0])
    assert phases(system, single, *elements) == [Phase.RUNNING, Phase.RUNNING, Phase.QUEUED]
    go(system)
    wait_until(lambda: not system.look().jobs, "they have left")
    assert not list((state / "jobs").iterdir())
    assert not list((state / "gone").iterdir())


def test_an_array_leaves_the_listing_with_its_last_element(system: System) -> None:
    array = system.submit("true", size=5)
    elements = system.elements(array, 5)
    for element in elements:
        system.ended(element)
    forget(system, elements[0], elements[3], elements[1])
    assert set(system.look().jobs) == set(elements)
    forget(system, elements[2], elements[4])
    assert not system.look().jobs


def test_an_id_is_never_given_twice(system: System, state: Path) -> None:
    first = system.submit("true")
    (state / "last").write_text("")
    second = system.submit("true")
    third = system.submit("true")
    assert int(first) < int(second) < int(third)
    assert system.ended(third).code == 0


def test_a_home_that_was_removed_is_no_empty_listing(system: System, state: Path) -> None:
    state.rename(state.with_name("elsewhere"))
    with pytest.raises(CommandFailed, match="is no home of jobs"):
        system.look()
    with pytest.raises(SubmitBusy, match="is no home of jobs"):
        system.submit("true")
    (state.parent / "shell.sh").unlink()
    with pytest.raises(CommandFailed, match=r"shell\.sh: No such file"):
        system.look()


def test_another_home_in_its_place_is_not_believed(system: System, state: Path) -> None:
    state.rename(state.with_name("elsewhere"))
    system.run(system.scheduler.facts()).checked()
    assert system.scheduler.parse_facts(system.run(system.scheduler.facts())) != system.facts
    with pytest.raises(Exception, match="another home of jobs"):
        system.look()


def test_secrets_of_the_worker_are_not_passed_on(system: System) -> None:
    argv = system.scheduler.submit(system.to_submit("env > env.tmp; mv env.tmp env"))
    secrets = {"JOBFERRY_BROKER": "redis://:geheim@h", "CELERY_BROKER_URL": "geheim", "MINE": "x y"}
    system.run(argv, **secrets).checked()
    environment = system.written("env")
    assert "MINE=x y" in environment
    assert "geheim" not in environment


def test_a_log_that_cannot_be_opened_is_named_as_the_reason(system: System, state: Path) -> None:
    submit = system.to_submit("true")
    os.truncate(submit.script, 0)
    Path(submit.log).mkdir()
    job = system.scheduler.parse_submit(system.run(system.scheduler.submit(submit)))
    seen = system.ended(job)
    assert (seen.outcome, seen.code) == (Outcome.FAILED, 74)
    assert "log could not be opened" in seen.reason
    assert submit.log in (state / "log").read_text()


def test_the_scripts_own_interpreter_is_used(system: System) -> None:
    submit = system.to_submit("")
    Path(submit.script).write_text(f"#!{sys.executable} -S\nimport sys\nsys.exit(9)\n")
    job = system.scheduler.parse_submit(system.run(system.scheduler.submit(submit)))
    assert system.ended(job).code == 9


def test_a_missing_tool_is_named(system: System, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("bash", "setsid"):
        (tools / tool).symlink_to(f"/usr/bin/{tool}")
    argv = system.scheduler.submit(system.to_submit("true"))
    done = run(argv, env={"PATH": str(tools)})
    assert done.returncode == 69
    assert "flock (of util-linux) is not on PATH" in done.stderr
