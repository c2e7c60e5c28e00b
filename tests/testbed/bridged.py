"""What holds over every bridge, told by whoever has one: a fleet, a count of what its system was given.

starts_nothing_twice(fleet, work, cluster="yarn", point="bridge-begun")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobferry_common.states import JobState, RunState
from tests.testbed.work import PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.testbed.fleet import Fleet
    from tests.testbed.work import Work


def fails_with_its_code(fleet: Fleet, work: Work, *, cluster: str) -> None:
    """Run two tasks, of which the second exits with 3, on a cluster that tries once more."""
    handle = fleet.submit(work.submission(cluster=cluster))
    assert handle.wait(PATIENCE).state is RunState.FAILED
    assert work.starts() == [1, 2]
    [failure] = handle.result(PATIENCE, checked=False).failures
    assert (failure.task, failure.code) == (1, 3)


def is_cancelled(
    fleet: Fleet, work: Work, *, cluster: str, how: Callable[[], Iterable[str | None]]
) -> None:
    """Cancel two tasks that run; `how` are the words with which the system's jobs ended."""
    handle = fleet.submit(work.submission(cluster=cluster))
    until(handle, JobState.RUNNING, 2)
    handle.cancel()
    assert handle.wait(PATIENCE).state is RunState.CANCELLED
    assert set(how()) == {"cancelled"}


def starts_nothing_twice(fleet: Fleet, work: Work, *, cluster: str, point: str) -> None:
    """Kill a worker of a fleet without one at a named point while it carries two tasks; another one goes on."""
    doomed = fleet.start_worker(JOBFERRY_KILL_AT=point)
    handle = fleet.submit(work.submission(cluster=cluster))
    assert doomed.wait(PATIENCE) == -9
    fleet.start_worker()
    assert handle.result(PATIENCE).ok
    assert work.starts() == [1, 1]
    assert work.everything_came_back()
