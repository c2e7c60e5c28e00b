"""The files of examples/ are what they say they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobferry import Submission
from jobferry_common.settings import load_settings

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_example_submission_is_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLES.parent)
    document = Submission.load(EXAMPLES / "submission.json").prepare()
    assert (document.header.tasks, document.header.jobs) == (4, 2)


def test_the_example_settings_are_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBFERRY_CONFIG", str(EXAMPLES / "slurm.toml"))
    profile = load_settings().clusters["hpc1"]
    assert (profile.batch_type, profile.context_type) == ("Slurm", "Local")


def test_the_example_shares_no_directory_with_other_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two users of one login node: the first must neither lock the second out, nor choose what runs."""
    monkeypatch.chdir(EXAMPLES.parent)
    machine = Submission.load(EXAMPLES / "submission.json").prepare().header.machine
    assert machine is not None
    assert Path(machine["remote_root"]).is_relative_to(Path.home())
