"""A task's own checks."""

from __future__ import annotations

import pytest

from jobferry_common.errors import BadInput
from jobferry_common.models.task import Task


def test_a_name_with_control_characters_is_refused() -> None:
    for name in ("a\x1b[31m", "a\nb", "a\rb"):
        with pytest.raises(BadInput, match="control character"):
            Task(command="true", task_work_path="a", task_name=name)
