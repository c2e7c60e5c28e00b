"""A plan that one run makes impossible: that run is found and left alone, and the others are planned without it.

s, planned = plan_around(p, s)
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from jobferry_worker.reconcile.plan import plan

if TYPE_CHECKING:
    from collections.abc import Container

    from jobferry_common.names import RunId
    from jobferry_worker.reconcile.actions import Action
    from jobferry_worker.reconcile.passes import Pass
    from jobferry_worker.reconcile.snapshot import Snapshot


def plan_around(p: Pass, s: Snapshot) -> tuple[Snapshot, tuple[Action, ...]]:
    """Return a plan, and the snapshot it was made for: that of all runs but those for which there can be none."""
    s = without(s, p.left_alone) if p.left_alone else s
    try:
        return s, plan(s)
    except Exception:
        # a plan is pure: what it raises comes of what was seen, and mostly of one run
        if not _blame(p, s):
            raise
    s = without(s, p.left_alone)
    return s, plan(s)


def _blame(p: Pass, s: Snapshot) -> bool:
    """Leave alone each run for which alone no plan can be made; False if there is none."""
    runs = {*s.runs, *s.broken, *(job.key.run for job in s.flight)}
    found = False
    for run in sorted(runs):
        try:
            plan(without(s, runs - {run}))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this run's
            p.blame(run, error)
            found = True
    return found


def without(s: Snapshot, runs: Container[RunId]) -> Snapshot:
    """Return a snapshot in which there is nothing of some runs."""
    return replace(
        s,
        flight=tuple(job for job in s.flight if job.key.run not in runs),
        runs={run: view for run, view in s.runs.items() if run not in runs},
        broken={run: why for run, why in s.broken.items() if run not in runs},
        judged=tuple(run for run in s.judged if run not in runs),
        due=tuple((run, jobs) for run, jobs in s.due if run not in runs),
        # the hints of a run that is left alone are left there
        hints={key: name for key, name in s.hints.items() if key.run not in runs},
    )
