"""The environment in which jobs run: that of the worker, and what resources say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobferry import Machine, Resources, Submission, Task

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.needs("valkey")


def test_jobs_see_what_the_stack_was_started_with_and_what_envs_say(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(**envs: str) -> str:
        machine = Machine(batch_type="Shell", context_type="LazyLocal", local_root="./")
        task = Task(command='echo "$SITE_FIRST|$SITE_SECOND" > out', task_work_path="dir1")
        resources = Resources(group_size=1, envs=envs)
        Submission("parent_dir", machine, resources, task_list=[task]).run_submission()
        return (project / "dir1/out").read_text()

    monkeypatch.setenv("SITE_FIRST", "first")
    assert told() == "first|\n"
    monkeypatch.setenv("SITE_SECOND", "second")
    assert told(SITE_THIRD="") == "first|\n"
    assert told(SITE_SECOND="said") == "first|said\n"
