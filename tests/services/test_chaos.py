"""A short storm: the whole of jobferry under real kills, by the same code as `make chaos`."""

from __future__ import annotations

import pytest

from tests.chaos.report import Goals
from tests.chaos.storm import Storm

pytestmark = pytest.mark.needs("slurm", "sshd", "valkey")

#: one of each kind of process; what follows them are adoptions, and claims
POINTS = ("after-submit", "after-reserve", "after-results", "after-accepted", "after-tick")
SEED = 20


def test_nothing_is_lost_nothing_overlaps_and_everything_comes_back() -> None:
    goals = Goals(jobs=300, kills=6, hits=1)
    # it ends as soon as these are reached
    report = Storm(seed=SEED, goals=goals, seconds=240, every=1.5, points=POINTS).run()
    print(report.text())
    assert report.breaches == []
    assert report.untested == []
