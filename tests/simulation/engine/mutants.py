"""Mutants of the code that keeps the promise: generated, not chosen. `python -m tests.simulation.engine.mutants`.

    --only change.lua        those of one file
    --sample 10              so many, spread evenly
    --seeds 60               seeds that a mutant has to live through, after the quick tests of its part
    --by-seeds               nothing but seeds: what does the simulation alone find?
    --results FILE           what was found out already is read there, and what is found is added: it can be stopped

In each Lua script every comparison is negated; in the pure modules of a pass, in the claim and in the lease every
condition of an `if`, of a `while`, of a conditional expression and each operand of `and` and `or` is negated or left
out; each row of the table of transitions is taken out; in the shell that claims an attempt each condition is taken for
true, and for false, and each file may be written over. A mutant lives in a copy of the repository.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parents[3]
_LUA: Final = Path("common/jobferry_common/ledger/lua")
_RECONCILE: Final = Path("worker/jobferry_worker/reconcile")
_CLAIM: Final = Path("common/jobferry_common/scripts/runtime.sh")
_STATES: Final = Path("common/jobferry_common/states.py")
#: what decides without touching anything, the claim, the fence
_PURE: Final = (
    *("plan", "flight", "exits", "ends", "submits", "claims", "mass", "snapshot", "moves"),
    *("readback", "lease", "root", "same", "listing", "submit", "apply", "sharing"),
)
_COMPARISON: Final = re.compile(r"(?<=\s)(==|~=|<=|>=|<|>)(?=\s)")
_OPPOSITE: Final = {"==": "~=", "~=": "==", "<=": ">", ">=": "<", "<": ">=", ">": "<="}
#: of a mutant that does not end
_LIMIT_SECONDS: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One change of one file."""

    path: str
    start: int  #: offset in the file's text
    end: int
    new: str
    old: str
    within: str  #: its line, and where in it: what a mutant is known by when lines before it change

    @property
    def name(self) -> str:
        return f"{self.path}: {self.within}: {' '.join(self.old.split())} => {' '.join(self.new.split())}"

    def of(self, text: str) -> str:
        return text[: self.start] + self.new + text[self.end :]


def mutants() -> Iterator[Mutant]:
    """Yield all of them."""
    for path in sorted((ROOT / _LUA).glob("*.lua")):
        if not path.name.startswith("depot"):
            yield from _of_lua(path)
    for name in _PURE:
        yield from _of_python(ROOT / _RECONCILE / f"{name}.py")
    yield from _of_shell(ROOT / _CLAIM)
    yield from _of_table(ROOT / _STATES)


def _made(path: Path, text: str, start: int, end: int, new: str) -> Mutant:
    begin = text.rfind("\n", 0, start) + 1
    line = text[begin:].partition("\n")[0].strip()
    earlier = [one.strip() for one in text[:begin].splitlines()].count(line)
    column = start - text.index(line, begin)
    return Mutant(
        path=str(path.relative_to(ROOT)),
        start=start,
        end=end,
        new=new,
        old=text[start:end],
        within=f"{line!r} ({earlier + 1}) at {column}",
    )


def _of_lua(path: Path) -> Iterator[Mutant]:
    text = path.read_text("utf-8")
    at = 0
    for line in text.splitlines(keepends=True):
        code = line.split("--", 1)[0]
        for found in _COMPARISON.finditer(code):
            yield _made(path, text, at + found.start(), at + found.end(), _OPPOSITE[found[0]])
        at += len(line)


def _of_python(path: Path) -> Iterator[Mutant]:
    text = path.read_text("utf-8")
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def span(node: ast.expr) -> tuple[int, int]:
        return starts[node.lineno - 1] + node.col_offset, starts[(node.end_lineno or 1) - 1] + (
            node.end_col_offset or 0
        )

    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.If, ast.IfExp, ast.While)) and not _is_typing(node):
            start, end = span(node.test)
            yield _made(path, text, start, end, f"(not ({text[start:end]}))")
        if isinstance(node, ast.BoolOp):
            neutral = "True" if isinstance(node.op, ast.And) else "False"
            for operand in node.values:
                start, end = span(operand)
                yield _made(path, text, start, end, neutral)


def _of_shell(path: Path) -> Iterator[Mutant]:
    """Take away each guard of what runs before an attempt is owned."""
    text = path.read_text("utf-8")
    for function in ("jf_begin", "jf_claim", "jf_again"):
        begin = text.index(f"\n{function}() {{")
        body = text[begin : text.index("\n}\n", begin)]
        for found in re.finditer(r"\[\[ .*? \]\]|set -C", body):
            for new in ("true", "false") if found[0] != "set -C" else (":",):
                yield _made(path, text, begin + found.start(), begin + found.end(), new)


def _is_typing(node: ast.If | ast.IfExp | ast.While) -> bool:
    return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _of_table(path: Path) -> Iterator[Mutant]:
    """Take out each transition."""
    text = path.read_text("utf-8")
    begin = text.index("JOB_TRANSITIONS: Final")
    for found in re.finditer(r"_[JR]\.[A-Z]+(?=[,}\s])(,\s*)?", text[begin:]):
        start = begin + found.start()
        if text.rfind("frozenset({", begin, start) > text.rfind("})", begin, start):
            yield _made(path, text, start, begin + found.end(), "")


def quick_tests(mutant: Mutant) -> list[str]:
    """Return the tests of a mutant's part that take no time."""
    if mutant.path.endswith(".sh"):
        return ["tests/common/scripts/test_claim.py"]
    if mutant.path.startswith("worker"):
        quick = sorted((ROOT / "tests/worker/reconcile").glob("test_plan_*.py"))
        return [str(path.relative_to(ROOT)) for path in quick]
    return ["tests/common/ledger"]


def judge(mutant: Mutant, home: Path, given: argparse.Namespace) -> str:
    """Return what killed a mutant: "simulation: …", "tests: …"; empty if it survived."""
    file = home / mutant.path
    original = (ROOT / mutant.path).read_text("utf-8")
    file.write_text(mutant.of(original), "utf-8")
    seeds = ("-m", "tests.simulation.engine.few", str(given.seeds))
    pytest = ("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider")
    stages = [("tests", (*pytest, *quick_tests(mutant)))]
    if not mutant.path.endswith(".sh"):  # no shell runs in the simulation
        stages.append(("simulation", seeds))
    if mutant.path.startswith("worker"):
        stages.append(("tests", (*pytest, "tests/worker/reconcile")))
    if given.by_seeds:
        stages = [("simulation", seeds)]
    try:
        for what, arguments in stages:
            if found := _run(home, *arguments):
                return f"{what}: {found}"
        return ""
    finally:
        file.write_text(original, "utf-8")


def _run(home: Path, *arguments: str) -> str:
    """Return the last line of what failed; empty if nothing did."""
    paths = [str(home), *(str(home / name) for name in ("common", "producer", "worker"))]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    try:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=home,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_LIMIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "it does not end"
    if not done.returncode:
        return ""
    lines = [
        line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR", "seed"))
    ]
    return (lines or [f"exit code {done.returncode}"])[-1][:160]


def _copy(place: Path) -> Path:
    for name in ("common", "producer", "worker", "tests"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", place)
    return place


def _known(results: Path) -> dict[str, str]:
    if not results.exists():
        return {}
    rows = (json.loads(line) for line in results.read_text("utf-8").splitlines())
    return {row["mutant"]: row["killed"] for row in rows}


def main() -> int:
    """Do what the command line says."""
    given = _arguments()
    chosen = [one for one in mutants() if given.only in one.path]
    if given.sample:
        chosen = chosen[:: max(len(chosen) // given.sample, 1)][: given.sample]
    known = _known(given.results)
    left = [one for one in chosen if one.name not in known]
    with tempfile.TemporaryDirectory(prefix="jf-") as directory:
        homes = [_copy(Path(directory, str(number))) for number in range(given.jobs)]
        if wrong := _run(homes[0], "-m", "tests.simulation.engine.few", str(given.seeds)):
            print(f"nothing can be said while the code itself fails: {wrong}")
            return 2

        def work(number: int) -> None:
            for mutant in left[number :: given.jobs]:
                killed = judge(mutant, homes[number], given)
                print(f"{'killed' if killed else 'SURVIVED':9} {mutant.name} {killed}", flush=True)
                with given.results.open("a", encoding="utf-8") as out:
                    out.write(json.dumps({"mutant": mutant.name, "killed": killed}) + "\n")

        with ThreadPoolExecutor(given.jobs) as pool:
            list(pool.map(work, range(given.jobs)))
    found = _known(given.results)
    survived = [one.name for one in chosen if not found.get(one.name)]
    print(f"{len(chosen)} mutants, {len(survived)} survived")
    return bool(survived)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=60)
    parser.add_argument("--by-seeds", action="store_true")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--results", type=Path, default=Path("mutants.jsonl"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
