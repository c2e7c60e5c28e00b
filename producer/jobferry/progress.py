"""Progress on stderr: the states of jobs, throughput and time left, from the first second on.

    3f2a9c01d5e7-1  ━━━━━━━━━╸━━━━━━━━  480/1000  running 32 · queued 488 · finished 478 · failed 2  41/s  13 s left

On a terminal it is one line that changes; elsewhere a line is printed when the states changed, at most every
ten seconds.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from jobferry_common.messages import is_inline
from jobferry_common.states import JobState, ResultsState, RunState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import TextIO

    from rich.progress import Progress as Bar

    from jobferry_common.ledger.records import ClusterRecord, RunRecord

_ORDER = (
    JobState.RUNNING,
    JobState.QUEUED,
    JobState.SUBMITTING,
    JobState.PENDING,
    JobState.EXITED,
    JobState.FINISHED,
    JobState.FAILED,
    JobState.CANCELLED,
)
_LINE_SECONDS = 10.0
_WINDOW_SECONDS = 30.0
_ENOUGH_SECONDS = 1.0
#: true while it is shown that something goes on: two lines that change would garble each other
_working: ContextVar[bool] = ContextVar("working", default=False)


def ended(record: RunRecord) -> int:
    """Return how many jobs of a run are over."""
    return sum(count for state, count in record.counts.items() if JobState(state).is_final)


def states(counts: Mapping[JobState, int]) -> str:
    """Return `running 32 · queued 488`: every state that any job is in."""
    return " · ".join(f"{state} {counts[state]}" for state in _ORDER if counts.get(state))


class Pace:
    """How fast jobs end: over the last half minute, and what that means for the rest."""

    def __init__(self) -> None:
        self._marks: list[tuple[float, int]] = []

    def note(self, done: int, now: float) -> None:
        """Remember that so many jobs had ended at a moment."""
        self._marks.append((now, done))
        while len(self._marks) > 2 and now - self._marks[1][0] > _WINDOW_SECONDS:  # noqa: PLR2004
            del self._marks[0]

    @property
    def per_second(self) -> float:
        """Jobs that ended per second; 0 while that is not known."""
        (then, few), (now, many) = self._marks[0], self._marks[-1]
        return (many - few) / (now - then) if now - then >= _ENOUGH_SECONDS else 0.0

    def text(self, left: int) -> str:
        """Return `41/s  13 s left`, or nothing while nothing is known."""
        rate = self.per_second
        if not rate:
            return ""
        speed = f"{rate:.0f}/s" if rate >= 1 else f"{rate * 60:.0f}/min"
        return f"{speed}  {_duration(left / rate)} left" if left else speed


class Progress:
    """The progress of one run; use as a context."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._pace = Pace()
        self._last = ("", 0.0)
        self._bar: Bar | None = None

    def __enter__(self) -> Progress:
        """Take the line."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give the line back."""
        if self._bar is not None:
            self._bar.stop()

    def show(self, record: RunRecord, hint: str = "") -> None:
        """Show where a run is, with a word on why it does not go on."""
        now = time.monotonic()
        self._pace.note(ended(record), now)
        where, pace = states(record.counts), self._pace.text(record.jobs - ended(record))
        text = "  ".join(part for part in (where, pace, hint) if part)
        if self._stream.isatty():
            self._draw(record, text)
        elif record.state.is_final or now - self._last[1] >= _LINE_SECONDS:
            line = f"{record.id}  {ended(record)}/{record.jobs}  {text}"
            # another pace alone is no news
            self._print(line, f"{where} {hint}", now)

    def _print(self, line: str, news: str, now: float) -> None:
        if news != self._last[0]:
            print(line, file=self._stream, flush=True)
            self._last = (news, now)

    def _draw(self, record: RunRecord, text: str) -> None:
        if self._bar is None:
            self._bar = _bar(self._stream)
            self._bar.add_task(record.id, total=max(record.jobs, 1), states="")
            self._bar.start()
        self._bar.update(
            self._bar.task_ids[0],
            description=str(record.id),
            completed=ended(record),
            states=text,
        )


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show that something goes on that may take longer than a second; only on a terminal, and the outermost."""
    if _working.get() or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    token = _working.set(True)
    try:
        with Console(stderr=True).status(what):
            yield
    finally:
        _working.reset(token)


def why_waiting(
    record: RunRecord, cluster: ClusterRecord | None, worker: str | None, *, embedded: bool = False
) -> str:
    """Return why a run does not go on, if its cluster is the reason.

    Args:
        record: the run.
        cluster: what is known of its cluster; None if no worker ever announced it.
        worker: who serves the cluster now; None when nobody does.
        embedded: the embedded stack's worker should.
    """
    if record.results is ResultsState.DEPOT:
        return f"its results are in the depot: `jobferry fetch {record.id}` on the machine of {record.owner}"
    if record.state.is_final:
        # all is done, so that a reason can only be of its results: a full disk here, for one
        why = record.reason if record.state is RunState.FINISHED else ""
        return f"fetching results: {why}" if why else "fetching results"
    if worker is None:
        own = (
            "jobferry up"
            if embedded or is_inline(record.cluster)
            else f"jobferry worker --cluster {record.cluster}"
        )
        return f"no worker serves {record.cluster}: {own}"
    if cluster is not None and cluster.paused:
        return f"{cluster.name} is {cluster.halt}"
    return ""


def why_shared_waits(
    record: RunRecord,
    name: str,
    cluster: ClusterRecord | None,
    worker: str | None,
    counts: Mapping[JobState, int],
) -> str:
    """Return what keeps one of several clusters from a run that they share, and what only it can end."""
    halt = "has no worker" if worker is None else ""
    if cluster is not None and cluster.paused:
        halt = f"is {cluster.halt}"
    if not halt or record.state.is_final:
        return ""
    out = sum(counts.get(state, 0) for state in JobState if state.is_in_flight)
    if not out:
        return f"{name} {halt}"
    jobs = "1 job" if out == 1 else f"{out} jobs"
    return (
        f"{name} {halt}, and may have {jobs} of the run; "
        f"to give them up: jobferry abandon {record.id} --cluster {name}"
    )


def _bar(stream: TextIO) -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    return Bar(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[states]}", markup=False),
        console=Console(file=stream),
        refresh_per_second=5,
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
