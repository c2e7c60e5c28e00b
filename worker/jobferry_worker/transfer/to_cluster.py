"""The files of a run go to the cluster, before its jobs may be submitted."""

from __future__ import annotations

import errno
import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import StagingError
from jobferry_common.killpoints import kill_here
from jobferry_common.ledger.records import Change
from jobferry_common.states import JobState
from jobferry_worker.reconcile.root import see_root
from jobferry_worker.staging.local import source_must_exist
from jobferry_worker.transfer import tracing
from jobferry_worker.transfer.claimed import files_of, rest_from, stage_claimed
from jobferry_worker.transfer.holding import held
from jobferry_worker.transfer.move import Move, explained
from jobferry_worker.transfer.resuming import write_marks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jobferry_common.document import TaskSpec
    from jobferry_common.ledger import Ledger
    from jobferry_common.names import RunId
    from jobferry_common.settings import Settings
    from jobferry_worker.cluster import Cluster

    Page = Sequence[tuple[int, TaskSpec]]

logger: Final = logging.getLogger(__name__)


#: jobs that are ended with one call
_CHANGES: Final = 1000
#: trying again will not help: the submission itself names what is not there, or what cannot be
_FOR_EVER: Final = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG}
)


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
        with explained(ledger, run):
            move = Move(ledger, cluster, run, renew)
            try:
                brought = _bring(move)
            except StagingError as error:
                if not _is_final(error, move, settings):
                    if move.at is not None:
                        rest_from(move.ledger, move.cluster, move.run, settings)
                    raise
                _fail(move, error)
                return
        if not brought:
            return
        ledger.change_run(run, staged=True)
        kill_here("after-staged")
        logger.info("The files of %s are at %s.", run, cluster.name, extra={"action": "staged"})


def _bring(move: Move) -> bool:
    """Bring the files; True once those of all jobs are there, and nobody else sees to that."""
    if move.header.in_place:  # nothing is made where the producer's directory is not
        source_must_exist(move.header)
    host = move.cluster.host
    host.make_directories(move.layout.directories)
    kill_here("after-directories")
    trace = tracing.begin(move)
    if trace is None:
        return False
    if move.at is not None:
        stage_claimed(move.ledger, move.cluster, move.run, move.header, move.staging, move.renew)
        return False
    # a broker may have forgotten that they are there: nothing is brought under jobs that run
    if move.header.in_place or not trace.staged:
        move.staging.stage(move.header, _renewing(move), move.layout)
        kill_here("after-brought")
        write_marks(move.ledger, host, move.header, move.layout, move.renew)
        see_root(move.ledger, move.cluster)
        tracing.staged(move)
    return True


def _renewing(move: Move) -> Iterator[Page]:
    for page in move.ledger.task_pages(move.run):
        move.renew()
        yield page


def _is_final(error: StagingError, move: Move, settings: Settings) -> bool:
    """Tell whether what could not be brought will never be there.

    The whole directory may be on a file system that is not mounted now: that is given some time.
    """
    if move.at is not None and move.ledger.unread(move.run):
        return False  # what the ledger calls pending may be out at another cluster
    if not Path(move.header.source).is_dir():
        if move.at is not None:  # another cluster may see it
            return False
        return time.time() - move.record().accepted > settings.timings.grace_seconds
    cause = error.__cause__
    if not isinstance(cause, OSError) or cause.errno not in _FOR_EVER:
        return False
    # what the cluster's own directories lack can be mended
    return cause.errno == errno.EEXIST or str(cause.filename).startswith(f"{move.header.source}/")


def _fail(move: Move, error: StagingError) -> None:
    """End all jobs: the first one failed, the others need not be tried."""
    logger.error("Run %s fails: %s", move.run, error, extra={"action": "stage-failed"})
    state = JobState.FAILED
    while page := move.ledger.jobs(move.run, states={JobState.PENDING}, count=_CHANGES):
        move.renew()
        changes = []
        for job, record in page:
            ended = replace(record, state=state, since=time.time(), reason=str(error))
            was = (record.state, record.attempt)
            changes.append(Change(job=job, was=was, record=ended, place=record.place))
            state = JobState.CANCELLED
        move.ledger.change(move.run, changes, fence=None)
