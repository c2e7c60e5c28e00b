"""Bulk files of a run: brought before its jobs, fetched as they end, removed when all is back.

    stage(ledger, cluster, settings, run)      # run.staged, and its jobs may be submitted
    collect(ledger, cluster, settings, run)    # results of ended jobs; of a run that ended, results: delivered
    clean(ledger, cluster, settings, run)      # its directory on the cluster is gone; results: cleaned

Each may be repeated, and be cut short anywhere: what is done already is left alone. One of them at a time works on a
run, under a lease of its own. Nothing is removed before its results are on the producer's side.
"""

from __future__ import annotations

import errno
import logging
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import DepotError, StagingError, UnreadableOutput
from jobferry_common.ledger.findings import FailedTask
from jobferry_common.ledger.pages import destination_of
from jobferry_common.ledger.records import Change
from jobferry_common.names import AttemptKey
from jobferry_common.scripts.records import parse_record
from jobferry_common.states import JobState, ResultsState, RunState
from jobferry_worker.claimed import files_of, is_over, rest_from, results_at, stage_claimed
from jobferry_worker.depot import way_of
from jobferry_worker.holding import both, held
from jobferry_worker.resuming import is_back, write_marks
from jobferry_worker.staging import staging_of
from jobferry_worker.staging.local import source_must_exist

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from jobferry_common.document import Header, TaskSpec
    from jobferry_common.ledger import Ledger
    from jobferry_common.ledger.records import RunRecord
    from jobferry_common.names import RunId
    from jobferry_common.scripts.layout import Layout
    from jobferry_common.settings import Settings
    from jobferry_worker.cluster import Cluster
    from jobferry_worker.staging.base import Lacking, Staging

    Page = Sequence[tuple[int, TaskSpec]]

logger: Final = logging.getLogger(__name__)

#: jobs whose results are fetched between two entries in the ledger
_PAGE: Final = 500
#: jobs that are ended with one call
_CHANGES: Final = 1000
#: trying again will not help: the submission itself names what is not there, or what cannot be
_FOR_EVER: Final = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG}
)
#: how the reason of a run begins while its files cannot be moved, and when a result did not come back
_WAITS: Final = "its files cannot be moved now: "
_LACKS: Final = "a result is missing: "


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ended:
    """A task of a job that ended."""

    index: int  #: in job order
    spec: TaskSpec
    succeeded: bool  #: it left its mark
    taken: bool  #: an earlier run did it: its results are not in this run's directory


class _Work:
    """One move of one run's files, and all it needs."""

    def __init__(
        self, ledger: Ledger, cluster: Cluster, run: RunId, renew: Callable[[], None]
    ) -> None:
        self.ledger = ledger
        self.cluster = cluster
        self.run = run
        self.renew = renew
        self.way = way_of(ledger, cluster, run, renew)
        self.header: Header = self.way.header
        self.layout: Layout = cluster.layout_of(self.header, run, ledger.id)
        self.staging: Staging = self.way.around(staging_of(self.header, cluster, renew))
        #: the cluster's name where several share the run, and each brings what it had of it
        self.at = cluster.name if self.header.is_shared else None

    def record(self) -> RunRecord:
        """Return the run as it stands now."""
        return self.ledger.run(self.run)

    def note_results(self, results: ResultsState) -> None:
        """Note how far the results are, here at least."""
        if self.at is None:
            self.ledger.change_run(self.run, results=results)
        else:
            self.ledger.place_results(self.run, self.at, results.value)


def stage(ledger: Ledger, cluster: Cluster, settings: Settings, run: RunId) -> None:
    """Bring the files of a run to the cluster, so that its jobs may be submitted.

    A file that the submission names and that is not there ends all jobs, with the file's path as the reason.

    Raises:
        StagingError: it is not possible now; the run says why, and waits.
        LeaseLost: it took too long, and somebody else goes on.
    """
    with held(ledger, files_of(ledger, cluster, run)) as renew:
        record = ledger.run(run)
        if renew is None or record.staged or record.state.is_final:
            return
        work = _Work(ledger, cluster, run, renew)
        with _explained(work):
            try:
                if work.header.in_place:  # nothing is made where the producer's directory is not
                    source_must_exist(work.header)
                cluster.host.make_directories(work.layout.directories)
                if work.at is not None:
                    stage_claimed(ledger, cluster, run, work.way, work.staging, renew)
                    return
                work.staging.stage(work.header, _renewing(work), work.layout)
                write_marks(ledger, cluster.host, work.header, work.layout, renew)
            except StagingError as error:
                if not _is_final(error, work, settings):
                    if work.at is not None:
                        rest_from(ledger, cluster, run, settings)
                    raise
                _fail(work, error)
                return
        ledger.change_run(run, staged=True)
        logger.info("The files of %s are at %s.", run, cluster.name, extra={"action": "staged"})


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
        work = _Work(ledger, cluster, run, partial(both, renew, renew_results))
        with _explained(work):
            while jobs := sorted(ledger.to_collect(run, _PAGE, at=work.at)):
                renew()
                _bring(work, jobs)
            if is_over(work.ledger, work.record(), work.at):
                _deliver(work)


def clean(ledger: Ledger, cluster: Cluster, settings: Settings, run: RunId) -> None:
    """Remove a run's directory on the cluster, because the user wants it; nothing happens while it runs.

    Raises:
        StagingError: it cannot be removed.
    """
    del settings
    with held(ledger, files_of(ledger, cluster, run)) as renew:
        if renew is None:
            return
        work = _Work(ledger, cluster, run, renew)
        if is_over(work.ledger, work.record(), work.at):
            _remove(work)


@contextmanager
def _explained(work: _Work) -> Iterator[None]:
    """Have the run say why its files cannot be moved, as long as that is so."""
    try:
        yield
    except StagingError as error:
        _say(work, f"{_WAITS}{error}")
        raise
    if work.record().reason.startswith(_WAITS):
        work.ledger.change_run(work.run, reason="")
        _say_lack(work)


def _say(work: _Work, reason: str) -> None:
    record = work.record()
    # why it failed matters more
    ours = not record.reason or record.reason.startswith((_WAITS, _LACKS))
    if ours or not record.state.is_final:
        work.ledger.change_run(work.run, reason=reason)


def _say_lack(work: _Work) -> None:
    """Have the run say again what did not come back: another reason took its place meanwhile."""
    if lack := work.ledger.lack(work.run):
        _say(work, f"{_LACKS}{lack}")


def _renewing(work: _Work) -> Iterator[Page]:
    for page in work.ledger.task_pages(work.run):
        work.renew()
        yield page


def _is_final(error: StagingError, work: _Work, settings: Settings) -> bool:
    """Tell whether what could not be brought will never be there.

    The whole directory may be on a file system that is not mounted now: that is given some time.
    """
    if not Path(work.header.source).is_dir():
        if work.at is not None:  # another cluster may see it
            return False
        return time.time() - work.record().accepted > settings.timings.grace_seconds
    cause = error.__cause__
    if not isinstance(cause, OSError) or cause.errno not in _FOR_EVER:
        return False
    # what the cluster's own directories lack can be mended
    return cause.errno == errno.EEXIST or str(cause.filename).startswith(f"{work.header.source}/")


def _fail(work: _Work, error: StagingError) -> None:
    """End all jobs: the first one failed, the others need not be tried."""
    logger.error("Run %s fails: %s", work.run, error, extra={"action": "stage-failed"})
    state = JobState.FAILED
    while page := work.ledger.jobs(work.run, states={JobState.PENDING}, count=_CHANGES):
        work.renew()
        changes = []
        for job, record in page:
            ended = replace(record, state=state, since=time.time(), reason=str(error))
            was = (record.state, record.attempt)
            changes.append(Change(job=job, was=was, record=ended, place=record.place))
            state = JobState.CANCELLED
        work.ledger.change(work.run, changes, fence=None)


def _bring(work: _Work, jobs: Sequence[int]) -> None:
    """Fetch the results of jobs; one that cannot be fetched now does not keep the others from coming.

    Raises:
        StagingError: of at least one of them; the others are here.
    """
    try:
        _bring_all(work, jobs)
    except DepotError:  # of all jobs alike
        raise
    except StagingError as error:
        if len(jobs) == 1:
            raise
        logger.warning("%s: %s", work.run, error, extra={"action": "collect-failed"})
    else:
        return
    failed: list[StagingError] = []
    for job in jobs:
        work.renew()
        try:
            _bring_all(work, [job])
        except StagingError as error:
            failed.append(error)
    if failed:
        raise failed[0]


def _bring_all(work: _Work, jobs: Sequence[int]) -> None:
    again = {} if work.header.in_place else work.ledger.superseded(work.run, jobs)
    wanted = [job for job in jobs if job not in again]
    ended = _ended(work, wanted)
    tasks = ((one.spec, one.succeeded and not one.taken) for one in ended)
    lacking = work.staging.collect(work.header, tasks, work.layout)
    _note(work, lacking)
    _note_done(work, ended, lacking)
    for job, later in again.items():
        _keep_back(work, f"job {job}", later)
    _note_failures(work, jobs)
    work.ledger.collected(work.run, jobs, at=work.at)


def _keep_back(work: _Work, what: str, later: RunId) -> None:
    """Leave results on the cluster: the producer's directory has, or gets, those of a later run."""
    text = f"run {later} brings the results of {what}, so older ones stay on the cluster"
    if later == work.ledger.displaced_by(work.run):
        text = (
            f"run {later} has its directories by now, so the results of {what} stay on the cluster"
        )
    logger.info("%s: %s", work.run, text, extra={"action": "kept-back"})
    work.ledger.note_lack(work.run, text)
    _say_lack(work)


def _note_failures(work: _Work, jobs: Sequence[int]) -> None:
    """Keep which tasks failed, for when the exit records are gone."""
    failed = work.ledger.failed_among(work.run, jobs)
    paths = {job: work.layout.record(AttemptKey(job, last)) for job, last in failed.items()}
    contents = work.cluster.host.read(list(paths.values())) if paths else {}
    found = {job: _failed_tasks(contents.get(path, b"")) for job, path in paths.items()}
    work.ledger.note_failures(work.run, found)


def _failed_tasks(content: bytes) -> list[FailedTask]:
    try:
        ends = parse_record(content).tasks
    except UnreadableOutput:  # it never ran, or was killed at once
        return []
    return [
        FailedTask(task=end.task, code=end.code, missing=end.missing) for end in ends if not end.ok
    ]


def _note_done(work: _Work, ended: Iterable[_Ended], lacking: Iterable[Lacking]) -> None:
    """Keep which tasks need not be done again by a later run: they succeeded, and their results are back."""
    left = {one.position for one in lacking}
    done: dict[int, set[int]] = {}
    for one in ended:
        if one.succeeded and one.spec.position not in left:
            done.setdefault(one.index // work.header.group_size, set()).add(one.index)
    work.ledger.note_done(work.run, done)


def _ended(work: _Work, jobs: Sequence[int]) -> list[_Ended]:
    """Return the tasks of jobs that ended."""
    indices = [index for job in jobs for index in work.header.tasks_of(job)]
    marks = work.cluster.host.read([work.layout.done(index) for index in indices])
    specs = work.ledger.tasks(work.run, indices)
    taken = work.ledger.taken_tasks(work.run, jobs)
    return [
        _Ended(
            index=index,
            spec=specs[index],
            succeeded=work.layout.done(index) in marks,
            taken=index in taken,
        )
        for index in indices
    ]


def _note(work: _Work, lacking: Sequence[Lacking]) -> None:
    """Have the run say what a task that succeeded did not leave, and what cannot be brought."""
    for item in lacking:
        logger.warning("%s: %s", work.run, item, extra={"action": "lacking"})
    if lacking:
        more = f", and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        mend = any(item.why for item in lacking)
        step = f"; once that is mended: jobferry fetch {work.run}" if mend else ""
        work.ledger.note_lack(work.run, f"{lacking[0]}{more}{step}")
        _say_lack(work)


def _deliver(work: _Work) -> None:
    """Make the end of a run known, then clean."""
    record = work.record()
    if results_at(work.ledger, work.run, work.at) is ResultsState.REMOTE:
        _bring_common(work, record)
        _say_lack(work)
        if work.way.is_the_producers_turn():
            return
        work.note_results(ResultsState.DELIVERED)
        logger.info("The results of %s are delivered.", work.run, extra={"action": "delivered"})
        record = work.record()
    if results_at(work.ledger, work.run, work.at) is ResultsState.DELIVERED and _is_to_be_cleaned(
        work, record
    ):
        _remove(work)
    work.ledger.collected(work.run, (), at=work.at)


def _bring_common(work: _Work, record: RunRecord) -> None:
    has_any = work.header.backward_common and not work.header.in_place
    later = work.ledger.displaced_by(work.run) or work.ledger.ended_later(work.run)
    if has_any and later:
        _keep_back(work, "all tasks together", later)
        return
    lacking = work.staging.collect_common(work.header, work.layout)
    finished = record.state is RunState.FINISHED
    _note(
        work, [one for one in lacking if one.why or (finished and not _is_older(record, work, one))]
    )


def _is_older(record: RunRecord, work: _Work, lacking: Lacking) -> bool:
    """Tell whether tasks that were taken over left a common result: it is at the producer, not in this run."""
    unseen = not work.way.sees_home
    return bool(record.taken_over) and (unseen or is_back(work.header, lacking.path, lacking.name))


def _is_to_be_cleaned(work: _Work, record: RunRecord) -> bool:
    """Tell what the policy says; a run that lacks a result is kept for the user to look at."""
    if work.ledger.lack(work.run):
        return False
    policy = work.header.policy.clean
    return policy == "always" or (policy == "on_success" and record.state is RunState.FINISHED)


def _remove(work: _Work) -> None:
    work.staging.clean(work.layout)
    work.note_results(ResultsState.CLEANED)
    logger.info("The directory of %s is removed.", work.run, extra={"action": "cleaned"})
