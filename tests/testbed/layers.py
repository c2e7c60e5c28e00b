"""The layers of the tests, how many of each have to run, and the summary of a session.

    unit        pure and quick: tests/common, tests/producer, tests/worker, tests/*.py
    simulation  the worker's core against a simulated world, seeded
    fake        executables on PATH that answer as a scheduler does
    services    real servers and real processes: tests/services, tests/seeds

tests/minimum.json holds how many tests of a layer ran at least; where the testbed is required, fewer is a failure.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import pytest

LAYERS: Final = ("unit", "simulation", "fake", "services")
#: folders whose tests belong to the layer of another
_WITHIN: Final = {"seeds": "services"}
#: relative to the repository
MINIMUM: Final = "tests/minimum.json"

_RAN: Final = ("passed", "failed", "error", "xfailed", "xpassed")


def layer_of(path: str) -> str:
    """Return the layer of a test file or node id, given relative to the repository."""
    parts = path.split("::", maxsplit=1)[0].split("/")
    folder = parts[1] if len(parts) > 1 and parts[0] == "tests" else ""
    folder = _WITHIN.get(folder, folder)
    return folder if folder in LAYERS else "unit"


def minimum(root: Path) -> Mapping[str, int]:
    """Return how many tests of each layer have to run."""
    numbers = json.loads((root / MINIMUM).read_text())
    return {str(layer): int(number) for layer, number in numbers.items()}


class Tally:
    """What became of the tests of a session, by layer."""

    def __init__(self, stats: Mapping[str, Sequence[object]]) -> None:
        #: layer → outcome → ids of tests
        self.tests: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        #: why tests were skipped, and how many
        self.skips: Counter[str] = Counter()
        for outcome in (*_RAN, "skipped", "rerun"):
            for report in stats.get(outcome, ()):
                self._add(outcome, report)

    def _add(self, outcome: str, report: object) -> None:
        node: str = getattr(report, "nodeid", "")
        self.tests[layer_of(node)][outcome].add(node)
        if outcome == "skipped":
            self.skips[_reason(report)] += 1

    def ran(self, layer: str) -> int:
        """Return how many tests of a layer were run to an end, good or bad."""
        return len(set[str]().union(*(self.tests[layer][outcome] for outcome in _RAN)))

    def lines(self, layers: Iterable[str]) -> list[str]:
        """Return one line a layer: ran, failed, skipped, rerun."""
        return [self._line(layer) for layer in layers]

    def _line(self, layer: str) -> str:
        tests = self.tests[layer]
        failed = len(tests["failed"] | tests["error"])
        numbers = f"{self.ran(layer):5} ran {failed:4} failed {len(tests['skipped']):4} skipped"
        again = f" {len(tests['rerun']):4} run twice" if tests["rerun"] else ""
        return f"{layer:11}{numbers}{again}"

    def reruns(self) -> list[str]:
        """Return the ids of tests that had to be run again."""
        return sorted(node for outcomes in self.tests.values() for node in outcomes["rerun"])

    def too_few(self, layers: Iterable[str], wanted: Mapping[str, int]) -> list[str]:
        """Return one sentence for each layer of which fewer tests ran than are wanted."""
        return [
            f"{layer}: {self.ran(layer)} tests ran, {MINIMUM} wants {wanted[layer]} at least"
            for layer in layers
            if self.ran(layer) < wanted.get(layer, 0)
        ]


def _reason(report: object) -> str:
    where: object = getattr(report, "longrepr", "")
    text = str(where[2]) if isinstance(where, tuple) else str(where)
    return text.removeprefix("Skipped: ")


def whole_layers(config: pytest.Config) -> bool:
    """Return whether the session selects all tests of its layers: no path, no -k, no -m and the like."""
    options = (
        "keyword",
        "markexpr",
        "lf",
        "failedfirst",
        "deselect",
        "maxfail",
        "ignore",
        "ignore_glob",
    )
    chosen = any(config.getoption(option, None) for option in options)
    return config.args_source is config.ArgsSource.TESTPATHS and not chosen
