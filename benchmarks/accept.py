"""`submit_many`: 10,000 submissions of one task each, with one input file, until the ledger has accepted all.

No worker runs meanwhile. The time includes the checks, digests and documents that `submit_many` makes.
"""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, Final

from benchmarks import world
from benchmarks.figure import Figure, Goal, Log, Section
from jobferry import Resources, Submission, Task, submit_many
from jobferry_common.errors import JobferryError

if TYPE_CHECKING:
    from pathlib import Path

_SUBMISSIONS: Final = 10_000


def measure(rounds: int, submissions: int) -> Section:
    """Measure accepts."""
    submissions = submissions or _SUBMISSIONS
    log = Log()
    with world.directory() as path:
        for number in range(rounds):
            _round(path / f"many{number}", submissions, log)
    figure = Figure(
        name=f"submit_many of {submissions:,} submissions",
        goal=Goal(bound=2000, unit="a second", at_least=True),
        values=log.of("accepted"),
        why="the producer's own work for each (reading the input's digest, the document, its compression) fills one "
        "processor, which it shares with the broker and with whatever else the load average tells of.",
    )
    return Section(
        title="Many submissions",
        command=f"python -m benchmarks.run --only accept --rounds {rounds}",
        about=(__doc__ or "").strip(),
        figures=(figure,),
        raws=tuple(log.raws),
    )


def _round(path: Path, number: int, log: Log) -> None:
    base = world.work(path / "work", number)
    profile = {"batch_type": "Shell", "context_type": "LazyLocal", "local_root": str(path)}
    with world.fleet(path, {"bench": profile}, worker=False) as fleet:
        described = [_described(base, index) for index in range(number)]
        world.wait_for_quiet()
        spent, begin = time.process_time(), time.perf_counter()
        answers = submit_many(described, client=fleet.client)
        log.note("accepted", number / (time.perf_counter() - begin), "a second")
        spent = time.process_time() - spent
        log.note("the producer's processor time", 1e6 * spent / number, "µs each")
    shutil.rmtree(path)
    for answer in answers:
        if isinstance(answer, JobferryError):
            raise answer


def _described(base: Path, index: int) -> Submission:
    task = Task(command="true", task_work_path=f"t{index}", forward_files=("in",))
    resources = Resources(group_size=1)
    return Submission(str(base), cluster="bench", resources=resources, task_list=[task])
