"""Measure what docs/benchmarks.md tells.

python -m benchmarks.run                                  all of it, in about half an hour
python -m benchmarks.run --only latency --rounds 1        one of them; the others' results are kept
python -m benchmarks.run --document docs/benchmarks.md    all of it, written down
python -m benchmarks.run --only none --document           write down what was measured before
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks import (
    accept,
    clusters,
    dispatch,
    idle,
    large,
    latency,
    parsing,
    passes,
    peer,
    rendering,
    ssh_commands,
    ssh_dispatch,
    staging,
    start,
)
from benchmarks.figure import Section
from tests.testbed.servers import missing

if TYPE_CHECKING:
    from collections.abc import Callable

_HERE: Final = Path(__file__).parent
_DOCUMENT: Final = _HERE.parent / "docs/benchmarks.md"
#: name → what measures it, given the number of rounds and a size (0: its own)
_BENCHMARKS: Final[dict[str, Callable[[int, int], Section]]] = {
    "dispatch": dispatch.measure,
    "peer": peer.measure,
    "latency": latency.measure,
    "accept": accept.measure,
    "large": large.measure,
    "passes": passes.measure,
    "idle": idle.measure,
    "ssh_dispatch": ssh_dispatch.measure,
    "ssh_commands": ssh_commands.measure,
    "staging": staging.measure,
    "clusters": clusters.measure,
    "parsing": parsing.measure,
    "rendering": rendering.measure,
    "start": start.measure,
}
_HEAD: Final = """\
# Benchmarks

Each section was measured by the command that stands in it; `make bench` runs them all.
The machine: Python {python} on {cores} cores ({machine}), a local Slurm {slurm} of 4 virtual nodes
with 8 CPUs each, and a Valkey with `appendfsync always`, all on the same machine. Ratios are of measurements made side
by side, alternating, in one run, on equal commands and files. A figure is the median of its rounds, and the raw values
are told with the load average of the machine at that moment. Goals that were missed are marked, and explained."""


def main() -> None:
    """Measure, keep the raw results, print them, and write the document if one is wanted."""
    options = _options()
    if why := missing("slurm"):
        sys.exit(f"benchmarks: {why}")
    for name in _names(options):
        print(f"== {name}, {options.rounds} rounds, load {os.getloadavg()[0]:.1f}", flush=True)
        section = _BENCHMARKS[name](options.rounds, options.size)
        section = replace(section, date=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC")
        results = {**_read(options.results), name: section.as_json()}
        options.results.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
        print(f"\n{section.markdown()}\n", flush=True)
    if options.document:
        options.document.write_text(_document(_read(options.results)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure what docs/benchmarks.md tells.")
    only = f"one of {', '.join(_BENCHMARKS)}, or none; may be repeated (all)"
    parser.add_argument("--only", metavar="NAME", action="append", help=only)
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (3)")
    parser.add_argument("--size", type=int, default=0, help="jobs or tasks (what the goals say)")
    parser.add_argument("--results", type=Path, default=_HERE / "results.json", help="raw results")
    document = "write the results to this file (docs/benchmarks.md)"
    parser.add_argument("--document", type=Path, nargs="?", const=_DOCUMENT, help=document)
    options = parser.parse_args()
    if unknown := set(options.only or ()) - {*_BENCHMARKS, "none"}:
        parser.error(f"--only: no benchmark {', '.join(sorted(unknown))}; expected {only}")
    return options


def _names(options: argparse.Namespace) -> list[str]:
    return [name for name in _BENCHMARKS if not options.only or name in options.only]


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text())) if path.exists() else {}


def _document(results: dict[str, Any]) -> str:
    sections = [Section.of_json(results[name]) for name in _BENCHMARKS if name in results]
    return "\n\n".join([_head(), *(section.markdown() for section in sections)]) + "\n"


def _head() -> str:
    answer = subprocess.run(["slurmctld", "-V"], capture_output=True, text=True, check=True)
    return _HEAD.format(
        python=platform.python_version(),
        cores=os.cpu_count(),
        machine=platform.machine(),
        slurm=answer.stdout.split()[-1],
    )


if __name__ == "__main__":
    main()
