"""Signals: a record is written at once, provisionally, and work that runs may come to its end."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from jobferry_common.names import AttemptKey
from tests.common.scripts.workbench import names, task

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.common.scripts.workbench import Workbench

FIRST = AttemptKey(0, 1)
UNTIL_GO = 'touch "$REMOTE_ROOT/up"; until [ -e "$REMOTE_ROOT/go" ]; do sleep 0.02; done'


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def started(bench: Workbench, *more: str, **fields: object) -> subprocess.Popen[str]:
    tasks = [task("true"), task(UNTIL_GO), *(task(command) for command in more)]
    job = bench.start(bench.prepare(tasks, [FIRST], **fields))
    until(bench.path("up").exists)
    return job


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130), ("SIGHUP", 129)])
def test_a_stop_leaves_a_provisional_record_at_once(bench: Workbench, name: str, code: int) -> None:
    job = started(bench, "touch never", append_script=["touch appended"])
    job.send_signal(signal.Signals[name])
    until(lambda: bench.record(FIRST))
    early = bench.record(FIRST)
    assert early is not None
    assert (early.provisional, early.reason) == (True, f"signal {name[3:]}")
    assert [ended.task for ended in early.tasks] == [0]
    bench.path("go").touch()
    ran = bench.finish(job, FIRST)
    assert (ran.code, ran.codes, ran.record.provisional) == (code, {0: 0, 1: 0}, True)
    assert ran.record.reason == f"signal {name[3:]}"
    assert not bench.path("work/never").exists()
    assert bench.path("appended").exists()


def test_a_program_may_save_its_state_when_all_are_asked_to_end(bench: Workbench) -> None:
    program = (
        'python3 -c "import signal,time,sys\n'
        "signal.signal(15, lambda *a: (time.sleep(0.3), open('saved', 'w').close(), sys.exit(5)))\n"
        "open('../up', 'w').close()\n"
        'time.sleep(600)"'
    )
    job = bench.start(bench.prepare([task(program + "; touch after")], [FIRST]))
    until(bench.path("up").exists)
    os.killpg(job.pid, signal.SIGTERM)
    ran = bench.finish(job, FIRST)
    assert (ran.code, ran.record.provisional, ran.record.succeeded(1)) == (143, True, False)
    assert bench.path("work/saved").exists()
    assert not bench.path("work/after").exists()


@pytest.mark.parametrize("name", ["SIGUSR1", "SIGUSR2", "SIGXCPU"])
def test_a_warning_is_noted_and_the_job_goes_on(bench: Workbench, name: str) -> None:
    job = started(bench, "touch later")
    job.send_signal(signal.Signals[name])
    until(lambda: bench.record(FIRST))
    early = bench.record(FIRST)
    assert early is not None
    assert (early.provisional, early.reason) == (True, f"signal {name[3:]}")
    bench.path("go").touch()
    ran = bench.finish(job, FIRST)
    assert (ran.code, ran.record.provisional, ran.record.reason) == (0, False, "")
    assert ran.record.succeeded(3)


@pytest.mark.parametrize("name", ["HUP", "INT", "KILL", "USR1", "USR2", "TERM", "XCPU"])
def test_a_task_that_was_ended_alone_may_have_been_ended_by_the_scheduler(
    bench: Workbench, name: str
) -> None:
    """It ends all processes of a job, and the task's end may be seen before the script is told."""
    ran = bench.run([task(f"kill -{name} $BASHPID"), task("true")])
    assert ran.codes == {0: 128 + signal.Signals[f"SIG{name}"], 1: 0}
    assert (ran.record.provisional, ran.record.reason) == (True, "")


def test_a_trap_of_the_user_takes_the_place_of_ours(bench: Workbench) -> None:
    job = started(bench, prepend_script=["trap 'touch \"$REMOTE_ROOT/go\"' USR1"])
    job.send_signal(signal.SIGUSR1)
    ran = bench.finish(job, FIRST)
    assert (ran.code, ran.codes, ran.record.provisional) == (0, {0: 0, 1: 0}, False)


def test_a_killed_job_leaves_no_record(bench: Workbench) -> None:
    job = started(bench)
    os.killpg(job.pid, signal.SIGKILL)
    assert bench.finish(job, FIRST).kept is None
    assert names(bench.layout.spool) == []


def test_all_slots_are_waited_for(bench: Workbench) -> None:
    job = started(bench, "sleep 0.3; touch done", para_deg=3)
    job.send_signal(signal.SIGTERM)
    until(lambda: bench.record(FIRST))
    bench.path("go").touch()
    ran = bench.finish(job, FIRST)
    assert set(ran.codes) <= {0, 1, 2}
    assert {0, 1} <= set(ran.codes)
    assert ran.record.provisional
