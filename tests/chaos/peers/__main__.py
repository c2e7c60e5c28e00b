"""python -m tests.chaos.peers --jobs 500 --kills 20 --seed 7: the table of docs/reliability.md."""

from __future__ import annotations

import argparse
import signal
import sys
from typing import TYPE_CHECKING

from tests.chaos.peers import celery_tasks, dpd, ours
from tests.chaos.world import new_directory, remove
from tests.testbed.slurm import SlurmCluster

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.peers.drive import Outcome


def main() -> int:
    """Measure each, and print the table; 0 if jobferry lost, doubled and missed nothing."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.peers", description=__doc__)
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--naps", type=float, default=2.0, help="seconds that each task sleeps")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is stopped
    words = {"jobs": given.jobs, "kills": given.kills, "seed": given.seed, "naps": given.naps}
    directory = new_directory()
    with SlurmCluster.temporary("peers") as slurm:
        measures: list[Callable[[], Outcome]] = [
            lambda: ours.measure(directory, slurm, **words),
            lambda: dpd.measure(directory, slurm, **words),
            lambda: celery_tasks.measure(directory, **words),
        ]
        outcomes = []
        for measure in measures:
            slurm.reset()
            outcomes.append(measure())
            print(outcomes[-1], flush=True)
    print("| system | jobs | kills | lost | run twice | at the same time | results missing |")
    print("|---|---|---|---|---|---|---|")
    for outcome in outcomes:
        print(outcome.row())
    mine = outcomes[0]
    good = not (mine.lost or mine.overlapped or mine.missing)
    if good:
        remove(directory)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
