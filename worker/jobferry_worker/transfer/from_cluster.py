"""The results of a run's jobs come from the cluster, as the jobs end."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import DepotError, StagingError, UnreadableOutput
from jobferry_common.killpoints import kill_here
from jobferry_common.ledger.findings import FailedTask
from jobferry_common.ledger.pages import destination_of
from jobferry_common.names import AttemptKey
from jobferry_common.scripts.records import parse_record
from jobferry_worker.reconcile.root import read_known, see_root
from jobferry_worker.transfer.claimed import files_of, is_over
from jobferry_worker.transfer.end import deliver
from jobferry_worker.transfer.holding import both, held
from jobferry_worker.transfer.move import Move, explained, keep_back, note_lacking

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jobferry_common.document import TaskSpec
    from jobferry_common.ledger import Ledger
    from jobferry_common.names import RunId
    from jobferry_common.settings import Settings
    from jobferry_worker.cluster import Cluster
    from jobferry_worker.staging.base import Lacking

logger: Final = logging.getLogger(__name__)


#: jobs whose results are fetched between two entries in the ledger
_PAGE: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ended:
    """A task of a job that ended."""

    index: int  #: in job order
    spec: TaskSpec
    succeeded: bool  #: it left its mark
    taken: bool  #: an earlier run did it: its results are not in this run's directory


def collect(ledger: Ledger, cluster: Cluster, settings: Settings, run: RunId) -> None:
    """Fetch the results of a run's ended jobs; once the run has ended and all is back, clean as its policy says.

    Raises:
        StagingError: it is not possible now; the run says why, and the call is to be repeated.
        LeaseLost: it took too long, and somebody else goes on.
    """
    del settings
    # two runs of a submission from one directory bring results to the same places: one after the other
    results = f"results:{destination_of(ledger.header(run))}"
    files = files_of(ledger, cluster, run)
    with held(ledger, files) as renew, held(ledger, results) as renew_results:
        if renew is None or renew_results is None:
            return
        with explained(ledger, run):
            move = Move(ledger, cluster, run, partial(both, renew, renew_results))
            move.way.begin()
            while jobs := sorted(ledger.to_collect(run, _PAGE, at=move.at)):
                renew()
                _bring(move, jobs)
                if len(jobs) < _PAGE and _is_enough(move):
                    return
            if is_over(move.ledger, move.record(), move.at):
                deliver(move)


def _is_enough(move: Move) -> bool:
    """Tell whether what ended meanwhile is left to the next round: each of them costs processes at the far side."""
    return move.cluster.is_far and not is_over(move.ledger, move.record(), move.at)


def _bring(move: Move, jobs: Sequence[int]) -> None:
    """Fetch the results of jobs; one that cannot be fetched now does not keep the others from coming.

    Raises:
        StagingError: of at least one of them; the others are here.
    """
    try:
        _bring_all(move, jobs)
    except DepotError:  # of all jobs alike
        raise
    except StagingError as error:
        if len(jobs) == 1:
            raise
        logger.warning("%s: %s", move.run, error, extra={"action": "collect-failed"})
    else:
        return
    failed: list[StagingError] = []
    for job in jobs:
        move.renew()
        try:
            _bring_all(move, [job])
        except StagingError as error:
            failed.append(error)
    if failed:
        raise failed[0]


def _bring_all(move: Move, jobs: Sequence[int]) -> None:
    again = {} if move.header.in_place else move.ledger.superseded(move.run, jobs)
    wanted = [job for job in jobs if job not in again]
    ended = _ended(move, wanted)
    tasks = ((one.spec, one.succeeded and not one.taken) for one in ended)
    lacking = move.staging.collect(move.header, tasks, move.layout)
    kill_here("after-results")
    note_lacking(move, lacking)
    _note_done(move, ended, lacking)
    kill_here("after-done-noted")
    for job, later in again.items():
        keep_back(move, f"job {job}", later)
    _note_failures(move, jobs)
    kill_here("after-failures-noted")
    see_root(move.ledger, move.cluster)  # else what was not there may be where nothing is mounted
    move.ledger.collected(move.run, jobs, at=move.at)
    kill_here("after-collected")


def _note_failures(move: Move, jobs: Sequence[int]) -> None:
    """Keep which tasks failed, for when the exit records are gone."""
    failed = move.ledger.failed_among(move.run, jobs)
    paths = {job: move.layout.record(AttemptKey(job, last)) for job, last in failed.items()}
    contents = move.cluster.host.read(list(paths.values())) if paths else {}
    found = {job: _failed_tasks(contents.get(path, b"")) for job, path in paths.items()}
    move.ledger.note_failures(move.run, found)


def _failed_tasks(content: bytes) -> list[FailedTask]:
    try:
        ends = parse_record(content).tasks
    except UnreadableOutput:  # it never ran, or was killed at once
        return []
    return [
        FailedTask(task=end.task, code=end.code, missing=end.missing) for end in ends if not end.ok
    ]


def _note_done(move: Move, ended: Iterable[_Ended], lacking: Iterable[Lacking]) -> None:
    """Keep which tasks need not be done again by a later run: they succeeded, and their results are back."""
    left = {one.position for one in lacking}
    done: dict[int, set[int]] = {}
    for one in ended:
        if one.succeeded and one.spec.position not in left:
            done.setdefault(one.index // move.header.group_size, set()).add(one.index)
    move.ledger.note_done(move.run, done)


def _ended(move: Move, jobs: Sequence[int]) -> list[_Ended]:
    """Return the tasks of jobs that ended."""
    indices = [index for job in jobs for index in move.header.tasks_of(job)]
    marks = read_known(move.ledger, move.cluster, [move.layout.done(index) for index in indices])
    specs = move.ledger.tasks(move.run, indices)
    taken = move.ledger.taken_tasks(move.run, jobs)
    return [
        _Ended(
            index=index,
            spec=specs[index],
            succeeded=move.layout.done(index) in marks,
            taken=index in taken,
        )
        for index in indices
    ]
