"""python -m tests.chaos --minutes 25 --seed 7 --jobs 20000 [--json FILE]."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path

from tests.chaos.report import Goals
from tests.chaos.storm import Storm


def main() -> int:
    """Let a storm rage; 0 if nothing was breached and enough was tested."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=25.0, help="the most that it rages")
    parser.add_argument("--seed", type=int, default=None, help="default: the time")
    parser.add_argument("--jobs", type=int, default=20_000, help="at least so many")
    parser.add_argument("--kills", type=int, default=200, help="at least so many random ones")
    parser.add_argument("--hits", type=int, default=20, help="of each named point")
    parser.add_argument("--every", type=float, default=2.5, help="seconds between random faults")
    parser.add_argument("--json", type=Path, default=None, help="file for the numbers")
    parser.add_argument("--keep", action="store_true", help="leave the directory")
    given = parser.parse_args()
    seed = int(time.time()) if given.seed is None else given.seed
    command = (
        f"python -m tests.chaos --minutes {given.minutes:g} --seed {seed} --jobs {given.jobs} "
        f"--kills {given.kills} --hits {given.hits} --every {given.every:g}"
    )
    storm = Storm(
        seed=seed,
        goals=Goals(jobs=given.jobs, kills=given.kills, hits=given.hits),
        seconds=given.minutes * 60,
        command=command,
        every=given.every,
        keep=given.keep,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _end(storm))
    report = storm.run()
    print(report.text())
    if given.json:
        given.json.write_text(json.dumps(report.data(), indent=1) + "\n")
    return 0 if report.ok else 1


def _end(storm: Storm) -> None:
    """End the storm early, and count; asked once more, end at once."""
    if storm.ending.is_set():
        sys.exit(143)
    print("it is to end: what was begun comes to rest", flush=True)
    storm.ending.set()


if __name__ == "__main__":
    sys.exit(main())
