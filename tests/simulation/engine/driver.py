"""Many seeds, over all cores: `python -m tests.simulation.engine.driver --seeds 10000`.

    --seeds 10000        how many, from --first on
    --only 17            one seed, with its trace, whether it fails or not
    --jobs 2             processes; each has a Valkey of its own

A seed that fails prints what happened, and the exit code is 1. Regressions are lived through first.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.simulation.engine.census import LEAST, SEEDS, lacking
from tests.simulation.engine.living import simulate, trace_of
from tests.simulation.engine.regressions import REGRESSIONS
from tests.simulation.engine.simulation import Breach
from tests.testbed.broker import Broker

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from redis import Redis

#: seeds that a process is given at once, and seconds between two signs of progress
_CHUNK: Final = 5
_SECONDS: Final = 10.0
#: traces that are printed in full
_SHOWN: Final = 3

Answer = tuple[int, dict[str, int], str]

_clients: list[Redis] = []


def live_through(seeds: Iterable[int], jobs: int) -> Iterator[Answer]:
    """Yield each seed, what happened in it, and what was wrong."""
    with tempfile.TemporaryDirectory(prefix="jf-") as directory:
        brokers = [Broker(Path(directory, str(n)), appendonly=False).start() for n in range(jobs)]
        try:
            context = multiprocessing.get_context("spawn")
            urls = context.SimpleQueue()
            for broker in brokers:
                urls.put(broker.url)
            with context.Pool(jobs, _open, (urls,)) as pool:
                yield from pool.imap_unordered(_one, seeds, chunksize=_CHUNK)
        finally:
            for broker in brokers:
                broker.stop()


def _open(urls: Any) -> None:
    from jobferry_common.broker import connect

    _clients.append(connect(urls.get()))


def _one(seed: int) -> Answer:
    try:
        return seed, dict(simulate(_clients[0], seed)), ""
    except Breach as error:
        return seed, {}, str(error)


def run(seeds: Iterable[int], jobs: int, *, shows: bool = True) -> tuple[Counter[str], list[int]]:
    """Live through seeds; return what happened, and those that failed."""
    tally: Counter[str] = Counter()
    failed: list[int] = []
    begun = told = time.monotonic()
    for number, (seed, seen, wrong) in enumerate(live_through(seeds, jobs), start=1):
        tally.update(seen)
        if wrong:
            failed.append(seed)
            print(wrong if len(failed) <= _SHOWN else wrong.splitlines()[-1], flush=True)
        if shows and time.monotonic() - told > _SECONDS:
            told = time.monotonic()
            print(
                f"{number} seeds, {len(failed)} failed, {told - begun:.0f} s",
                file=sys.stderr,
                flush=True,
            )
    return tally, failed


def main() -> int:
    """Do what the command line says."""
    given = _arguments()
    if given.only is not None:
        with (
            tempfile.TemporaryDirectory(prefix="jf-") as directory,
            Broker(Path(directory), appendonly=False) as broker,
        ):
            trace, wrong = trace_of(broker.client(), given.only)
        print("\n".join([*trace, "", wrong or f"seed {given.only}: nothing is wrong"]))
        return bool(wrong)
    seeds = [*REGRESSIONS, *range(given.first, given.first + given.seeds)]
    tally, failed = run(seeds, given.jobs)
    for what, times in sorted(tally.items()):
        print(f"{times:9}  {what}")
    short = lacking(tally, LEAST * given.seeds // SEEDS)
    for line in short:
        print(f"too seldom: {line}")
    print(
        f"{len(seeds)} seeds, {len(failed)} failed{': ' if failed else ''}{' '.join(map(str, failed))}"
    )
    return bool(failed or short)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", type=int)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
