"""The window: para_deg tasks at a time, a freed slot is taken at once, each slot has its GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.common.scripts.workbench import task

if TYPE_CHECKING:
    from tests.common.scripts.workbench import Workbench

WAIT = 'until [ -e "$REMOTE_ROOT/go" ]; do sleep 0.02; done'


@pytest.fixture(params=["with wait -n -p", "as before bash 5.1"], autouse=True)
def _bash(request: pytest.FixtureRequest, bench: Workbench) -> None:
    if request.param.startswith("as before"):
        bench.environment = {"jf_old_bash": "1"}


def test_a_freed_slot_is_taken_while_another_is_busy(bench: Workbench) -> None:
    short = [task("true", "short") for _ in range(4)]
    ran = bench.run([task(WAIT), *short, task('touch "$REMOTE_ROOT/go"', "last")], para_deg=2)
    assert ran.codes == dict.fromkeys(range(6), 0)
    assert ran.record.tasks[0].task == 1


def test_never_more_than_para_deg_run_at_once(bench: Workbench) -> None:
    command = "echo + >> ../count; sleep 0.0$((RANDOM % 5)); echo - >> ../count"
    ran = bench.run([task(command, str(number)) for number in range(24)], para_deg=3)
    assert ran.record.succeeded(24)
    running = most = 0
    for sign in bench.text("count").split():
        running += 1 if sign == "+" else -1
        most = max(most, running)
    assert most == 3


def test_every_code_belongs_to_its_task(bench: Workbench) -> None:
    tasks = [task(f"sleep 0.0$((RANDOM % 4)); exit {number % 7}") for number in range(40)]
    ran = bench.run(tasks, para_deg=8)
    assert ran.codes == {number: number % 7 for number in range(40)}


def test_tasks_that_end_at_once_are_all_seen(bench: Workbench) -> None:
    ran = bench.run([task("") for _ in range(60)], para_deg=20)
    assert ran.record.succeeded(60)


def test_other_children_of_the_script_take_no_slot(bench: Workbench) -> None:
    prepend = ["sleep 0.1 & sleep 600 & child=$!"]
    tasks = [task("sleep 0.2") for _ in range(4)]
    ran = bench.run(tasks, para_deg=2, prepend_script=prepend, append_script=["kill $child"])
    assert ran.record.succeeded(4)


def test_a_window_wider_than_the_work_is_no_problem(bench: Workbench) -> None:
    assert bench.run([task("true"), task("true")], para_deg=100).record.succeeded(2)


def gpus(bench: Workbench, given: str | None) -> list[str]:
    if given is not None:
        bench.environment = {**bench.environment, "CUDA_VISIBLE_DEVICES": given}
    # all three run at once, so each has a slot of its own
    command = 'echo "$CUDA_VISIBLE_DEVICES" > gpu; touch ../up$TASK; until [ -e ../up3 ]; do sleep 0.02; done'
    tasks = [task(command.replace("$TASK", str(number)), f"gpu{number}") for number in range(1, 4)]
    strategy = {"if_cuda_multi_devices": True}
    ran = bench.run(tasks, para_deg=3, gpu_per_node=2, strategy=strategy)
    assert ran.record.succeeded(3)
    return [bench.text(f"gpu{number}/gpu").strip() for number in range(1, 4)]


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        (None, ["0", "1", "0"]),
        ("5,7", ["5", "7", "5"]),
        ("GPU-4f,GPU-5a", ["GPU-4f", "GPU-5a", "GPU-4f"]),
        ("NoDevFiles", ["0", "1", "0"]),
    ],
)
def test_each_slot_has_a_gpu(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, given: str | None, seen: list[str]
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpus(bench, given) == seen


def test_without_the_strategy_gpus_are_left_alone(bench: Workbench) -> None:
    bench.environment = {**bench.environment, "CUDA_VISIBLE_DEVICES": "3,4"}
    bench.run([task('echo "$CUDA_VISIBLE_DEVICES"')], gpu_per_node=2)
    assert bench.text("work/log") == "3,4\n"
