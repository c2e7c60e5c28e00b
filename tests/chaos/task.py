"""What a task does: it logs its start and its end where only it knows of, and leaves what can be computed.

    s 12.3 4711_3 98231 1700000000.123456       start of task 3 of batch 12: the scheduler's id, its process, the time
    e 12.3 4711_3 98231 1700000000.223456       its end

Ids of Shell begin with "shell-". The log is opened with O_APPEND for each line: lines of many writers stay whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chaos.batches import Batch

#: before each of Shell's ids
SHELL: Final = "shell-"
_FACTOR: Final = 2654435761
_PRIME: Final = 4294967291

_SCRIPT: Final = """\
LC_ALL=C
chaos_log() {{ # s or e, key
    local id=${{SLURM_ARRAY_JOB_ID:-${{SLURM_JOB_ID-}}}}${{SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}}
    [[ $id ]] || id={shell}${{JOBFERRY_SHELL_ID-none}}${{JOBFERRY_SHELL_INDEX:+_$JOBFERRY_SHELL_INDEX}}
    printf '%s %s %s %s %s\\n' "$1" "$2" "$id" "$BASHPID" "$EPOCHREALTIME" >>{log}
}}
chaos_task() {{ # key, seconds
    local value='' status=0
    chaos_log s "$1"
    read -r value <in || status=1
    [[ $2 == 0.0 ]] || sleep "$2"
    printf '%s %s\\n' "$1" "$((value * {factor} % {prime}))" >out || status=1
    chaos_log e "$1"
    return "$status"
}}
"""


def write_script(path: Path, log: Path) -> None:
    """Write what each task's command sources."""
    path.write_text(_SCRIPT.format(log=log, factor=_FACTOR, prime=_PRIME, shell=SHELL))


def command(script: Path, batch: Batch, task: int) -> str:
    """Return a task's command."""
    return f". {script}; chaos_task {batch.key(task)} {batch.naps}"


def given(seed: int, batch: Batch, task: int) -> int:
    """Return the number in a task's input."""
    return (seed * 7919 + batch.number * 104729 + task * 31) % 1_000_000 + 1


def expected(seed: int, batch: Batch, task: int) -> str:
    """Return what a task has to leave in its output."""
    return f"{batch.key(task)} {given(seed, batch, task) * _FACTOR % _PRIME}\n"


def write_inputs(base: Path, seed: int, batch: Batch) -> None:
    """Make the directories of a batch's tasks, with their inputs."""
    for task in range(batch.tasks):
        directory = base / f"t{task}"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "in").write_text(f"{given(seed, batch, task)}\n")
