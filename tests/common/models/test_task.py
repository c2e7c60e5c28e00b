"""A task's own checks."""

from __future__ import annotations

import pytest

from jobferry_common.errors import BadInput
from jobferry_common.models.task import Task


@pytest.mark.parametrize("name", [".", "./", "logs/", "logs/.", "logs/a/.."])
def test_a_log_that_is_a_directory_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match=r"outlog: .* is a directory; expected the name of a file"):
        Task(command="true", task_work_path="a", outlog=name)
    with pytest.raises(BadInput, match=r"errlog: .* is a directory"):
        Task(command="true", task_work_path="a", errlog=name)


def test_a_name_with_control_characters_is_refused() -> None:
    for name in ("a\x1b[31m", "a\nb", "a\rb"):
        with pytest.raises(BadInput, match="control character"):
            Task(command="true", task_work_path="a", task_name=name)
