"""Which pending jobs are submitted now, and with which commands. Pure.

Jobs of one run are equal (they share its resources), so they go as arrays, split at the cluster's limit; those that ask
for more than their run, after they failed, go with those that ask for the same. A run whose last submit was turned away
rests, then tries fewer at once.
"""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING

from jobferry_common.failures import resources_of
from jobferry_worker.reconcile.actions import SubmitJobs
from jobferry_worker.reconcile.ends import why_not
from jobferry_worker.reconcile.room import Wish, share
from jobferry_worker.reconcile.snapshot import OUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobferry_common.ledger.records import JobRecord
    from jobferry_common.names import RunId
    from jobferry_worker.reconcile.snapshot import Snapshot


def plan_submits(s: Snapshot) -> Iterator[SubmitJobs]:
    """Return the submit commands that room and budget allow, the run with the fewest jobs out first."""
    out = Counter(job.key.run for job in s.flight if job.record.state in OUT)
    ready = {run: jobs for run, jobs in s.due if jobs and _may_go(s, run)}
    wishes = [
        Wish(
            s.runs[run].record.owner,
            run,
            min(len(jobs), _most(s, run)),
            out[run],
            s.runs[run].record.priority,
        )
        for run, jobs in ready.items()
    ]
    room = s.limits.batch if s.limits.room is None else min(s.limits.room, s.limits.batch)
    given = share(room, wishes)
    order = sorted(given, key=lambda run: (-s.runs[run].record.priority, out[run]))
    batches = [_batches(s, run, ready[run][: given[run]]) for run in order]
    yield from islice(_in_turn(batches), s.limits.commands)


def _may_go(s: Snapshot, run: RunId) -> bool:
    view = s.runs.get(run)
    if view is None or run in s.broken or view.record.state.is_final:
        return False
    # of a shared run only those are due whose files are here
    if not (view.record.staged or view.record.targets):
        return False
    hold = s.holds.get(run)
    return not why_not(view) and not (hold and s.now < hold.until)


def _most(s: Snapshot, run: RunId) -> int:
    """A run that was turned away tries one command, and no larger one than it is held to.

    One whose user wants time between two submits makes one at a time, too.
    """
    hold = s.holds.get(run)
    if hold:
        return min(hold.batch, s.limits.array)
    return s.limits.array if s.runs[run].header.resources.wait_time else s.limits.batch


def _batches(
    s: Snapshot, run: RunId, jobs: tuple[tuple[int, JobRecord], ...]
) -> Iterator[SubmitJobs]:
    size = max(s.limits.array, 1)
    parts = [
        alike[start : start + size]
        for alike in _alike(s, run, jobs)
        for start in range(0, len(alike), size)
    ]
    one_at_a_time = run in s.holds or s.runs[run].header.resources.wait_time
    for part in parts[:1] if one_at_a_time else parts:
        yield SubmitJobs(run=run, jobs=part)


def _alike(
    s: Snapshot, run: RunId, jobs: tuple[tuple[int, JobRecord], ...]
) -> list[tuple[tuple[int, JobRecord], ...]]:
    """Return the jobs in groups that ask for the same."""
    if not any(record.asks for _, record in jobs):
        return [jobs]
    header = s.runs[run].header
    here = s.me if header.is_shared else header.cluster
    groups: dict[object, list[tuple[int, JobRecord]]] = {}
    for job, record in jobs:
        asked = resources_of(header, record.asks, here)
        key = (asked.memory_per_node, asked.time_limit, tuple(asked.exclude_nodes))
        groups.setdefault(key, []).append((job, record))
    return [tuple(group) for group in groups.values()]


def _in_turn(queues: list[Iterator[SubmitJobs]]) -> Iterator[SubmitJobs]:
    """Take one of each in turn."""
    while queues:
        left = []
        for queue in queues:
            if (batch := next(queue, None)) is not None:
                yield batch
                left.append(queue)
        queues = left
