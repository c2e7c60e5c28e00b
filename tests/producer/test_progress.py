"""Progress: what is shown of a run while it goes on."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from jobferry.progress import Pace, Progress, states, why_waiting, working
from jobferry_common.ledger.records import ClusterRecord, RunRecord
from jobferry_common.names import ClusterName, RunId, SubmissionId
from jobferry_common.states import JobState, ResultsState, RunState

ALPHA = ClusterName("alpha")
RUN = RunRecord(
    id=RunId("5e7-1"),
    submission=SubmissionId("5e7"),
    number=1,
    owner="alice@here",
    state=RunState.ACTIVE,
    results=ResultsState.REMOTE,
    cluster=ALPHA,
    name="",
    staged=True,
    cancel=False,
    tasks=10,
    jobs=10,
    counts={JobState.RUNNING: 2, JobState.QUEUED: 5, JobState.FINISHED: 3, JobState.FAILED: 0},
    accepted=1000.0,
    finished=None,
    reason="",
    taken_over=0,
)
SERVED = ClusterRecord(
    name=ALPHA, account="a", batch_type="Slurm", context_type="Local", last_pass=2000.0
)


class Terminal(io.StringIO):
    """Text that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_states_without_jobs_are_not_shown() -> None:
    assert states(RUN.counts) == "running 2 · queued 5 · finished 3"


def test_pace_tells_throughput_and_time_left() -> None:
    pace = Pace()
    pace.note(0, 100.0)
    assert pace.text(10) == ""
    pace.note(20, 110.0)
    assert pace.text(10) == "2/s  5 s left"
    assert pace.text(7200) == "2/s  1 h 0 min left"


def test_pace_forgets_what_is_long_ago() -> None:
    pace = Pace()
    for second in range(200):
        pace.note(second // 100 * 50, float(second))
    assert pace.per_second == 0.0


def test_slow_work_is_told_by_the_minute() -> None:
    pace = Pace()
    pace.note(0, 0.0)
    pace.note(1, 30.0)
    assert pace.text(0) == "2/min"


def test_without_a_terminal_a_line_is_printed_now_and_then() -> None:
    out = io.StringIO()
    with Progress(out) as progress:
        for _ in range(100):
            progress.show(RUN)
        progress.show(replace(RUN, state=RunState.FINISHED, counts={JobState.FINISHED: 10}))
    assert out.getvalue().splitlines() == [
        "5e7-1  3/10  running 2 · queued 5 · finished 3",
        "5e7-1  10/10  finished 10",
    ]


def test_another_pace_alone_is_no_news(monkeypatch: pytest.MonkeyPatch) -> None:
    out, now = io.StringIO(), 0.0
    monkeypatch.setattr("jobferry.progress.time.monotonic", lambda: now)
    over = replace(RUN, state=RunState.FINISHED, counts={JobState.FINISHED: 10})
    with Progress(out) as progress:
        for record in (RUN, over, over, over):
            now += 20.0
            progress.show(record)
    assert len(out.getvalue().splitlines()) == 2


def test_of_things_within_each_other_the_outermost_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = Terminal()
    monkeypatch.setattr("sys.stderr", out)
    for _ in range(2):
        with working("handing over"), working("starting a broker"):
            pass
    assert out.getvalue().count("handing over") >= 2
    assert "starting" not in out.getvalue()


def test_a_terminal_shows_a_bar() -> None:
    out = Terminal()
    with Progress(out) as progress:
        progress.show(RUN, "alpha is paused")
    assert "3/10" in out.getvalue()
    assert "alpha is paused" in out.getvalue()


@pytest.mark.parametrize(
    ("cluster", "worker", "words"),
    [
        (None, None, "no worker serves alpha: jobferry worker --cluster alpha"),
        (SERVED, None, "no worker serves alpha: jobferry worker --cluster alpha"),
        (replace(SERVED, paused="sbatch fails"), "w:1", "alpha is paused: sbatch fails"),
        (SERVED, "w:1", ""),
        (None, "w:1", ""),
    ],
)
def test_a_waiting_run_says_when_its_cluster_is_the_reason(
    cluster: ClusterRecord | None, worker: str | None, words: str
) -> None:
    assert why_waiting(RUN, cluster, worker) == words


def test_the_embedded_stack_is_what_serves_its_clusters() -> None:
    words = why_waiting(RUN, None, None, embedded=True)
    assert words == "no worker serves alpha: jobferry up"


def test_a_run_that_ended_waits_for_its_results_only() -> None:
    assert why_waiting(replace(RUN, state=RunState.FINISHED), None, None) == "fetching results"


def test_what_keeps_results_away_is_shown() -> None:
    record = replace(RUN, state=RunState.FINISHED, reason="no space left here")
    assert why_waiting(record, None, "w:1") == "fetching results: no space left here"
