"""What stays on a cluster of a run beside its files: enough to make a lost ledger again.

    begin(move)       # its document, then its trace: before any file of it is brought
    staged(move)      # its files are there
    over(move)        # it ended, and its results are where they belong
    gone(move)        # its files are about to be removed: a short note takes the place of the trace

Each file is written by rename, and the trace comes after what it speaks of. No secret is in any of them.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import UnreadableOutput
from jobferry_common.files import NewFile
from jobferry_common.scripts.layout import traces
from jobferry_common.scripts.traces import CANCEL, GONE, Trace
from jobferry_common.states import JobState, ResultsState

if TYPE_CHECKING:
    from jobferry_common.ledger.records import RunRecord
    from jobferry_worker.cluster import Cluster
    from jobferry_worker.transfer.move import Move

logger: Final = logging.getLogger(__name__)

#: that a run's files were removed is remembered for so long: against a broker that remembers less
GONE_DAYS: Final = 2
_TIDY_SECONDS: Final = 3600.0
_LIMIT: Final = timedelta(seconds=60)
#: records of jobs that did not finish, in a trace
_REST: Final = 1000
#: pages that are written at once
_AT_ONCE: Final = 20


def begin(move: Move) -> Trace | None:
    """Leave a run's document and its trace, and return it; None while another run of its name has one.

    The pass over the cluster sees to that: it knows whether both are one, or gives this one another name. What clusters
    share cannot get another name, and is compared with what stands here before it is claimed: of the same directory, it
    is the same work, which the broker forgot and somebody presented again.

    Raises:
        StagingError: it cannot be written.
    """
    found = read(move)
    fresh = of(move)
    if found is not None and fresh.shared and found.destination == fresh.destination:
        found = found if found.nonce == fresh.nonce else None
    if found is not None and found.nonce != fresh.nonce:
        logger.info("Another run was called %s here.", move.run, extra={"action": "trace"})
        return None
    if found is None:
        # in place, and where clusters share a run, nothing is brought for all of its jobs
        found = replace(fresh, staged=fresh.staged or move.header.in_place or fresh.shared)
        _write_all(move, found)
    return found


def staged(move: Move) -> None:
    """Note that a run's files are there: they must not be brought again under jobs that run."""
    if not move.header.in_place:
        write(move, replace(of(move), staged=True))


def over(move: Move) -> None:
    """Note that a run ended and nothing of it is left to be fetched here."""
    write(move, ended(move))
    move.cluster.host.remove([move.layout.trace + CANCEL])


def gone(move: Move) -> None:
    """Put a note in the place of the trace, before the run's files are removed."""
    note = replace(ended(move), results=ResultsState.CLEANED)
    host, path = move.cluster.host, move.layout.trace
    host.write([NewFile(path=path + GONE, content=note.pack())])
    host.remove([path, path + CANCEL])
    _tidy(move.cluster)


def of(move: Move) -> Trace:
    """Return the trace of a run as it stands."""
    nonce, destination = move.ledger.identity(move.run)
    record = move.record()
    return Trace(
        run=move.run,
        ledger=move.ledger.id,
        nonce=nonce,
        destination=destination,
        accepted=record.accepted,
        control=move.layout.control,
        pieces=1 + -(-record.tasks // 1000),
        resumes=record.resumes or "",
        shared=move.at is not None,
        staged=record.staged,
    )


def ended(move: Move) -> Trace:
    """Return the trace of a run that ended."""
    record = move.record()
    found = replace(of(move), staged=True, reason=record.reason)
    if not record.state.is_final:  # its part here is over: other clusters share it
        return found
    undone = {JobState.FAILED, JobState.CANCELLED}
    rest = _rest(move, record, undone)
    return replace(found, end=record.state, results=ResultsState.DELIVERED, rest=rest)


def read(move: Move) -> Trace | None:
    """Return the trace that is there; None if there is none that can be read."""
    path = move.layout.trace
    content = move.cluster.host.read([path]).get(path)
    if content is None:
        return None
    try:
        return Trace.unpack(content)
    except UnreadableOutput as error:
        logger.warning("%s: %s", path, error, extra={"action": "trace"})
        return None


def write(move: Move, trace: Trace) -> None:
    """Write a trace; raises `StagingError`."""
    move.cluster.host.write([_file_of(move, trace)])


def _file_of(move: Move, trace: Trace) -> NewFile:
    return NewFile(path=move.layout.trace, content=trace.pack())


def _rest(move: Move, record: RunRecord, states: set[JobState]) -> dict[int, str]:
    if not any(record.counts.get(state) for state in states):
        return {}
    found = move.ledger.jobs(move.run, states=states, count=_REST)
    return {job: one.pack() for job, one in found}


def _write_all(move: Move, trace: Trace) -> None:
    """Write the document, then the trace, which speaks of it: a host keeps the order."""
    host, files = move.cluster.host, []
    for number, piece in enumerate(move.ledger.pieces(move.run)):
        files.append(NewFile(path=move.layout.document(number), content=piece))
        if len(files) == _AT_ONCE:
            move.renew()
            host.write(files)
            files = []
    if move.record().taken_over:
        files.append(NewFile(path=move.layout.document("taken"), content=_taken(move)))
    host.write([*files, _file_of(move, trace)])


def _taken(move: Move) -> bytes:
    """Return what a run need not do itself: nothing on the cluster speaks of it otherwise."""
    jobs: dict[int, str] = {}
    start = 0
    while page := move.ledger.jobs(move.run, states={JobState.FINISHED}, start=start):
        jobs |= {job: record.pack() for job, record in page}
        start = page[-1][0] + 1
    tasks = move.ledger.all_taken_texts(move.run)
    count = move.record().taken_over
    return json.dumps({"jobs": jobs, "tasks": tasks, "count": count}).encode()


def _tidy(cluster: Cluster) -> None:
    """Remove old notes, once in a while."""
    now = time.monotonic()
    if now - cluster.memory.tidied < _TIDY_SECONDS:
        return
    cluster.memory.tidied = now
    where = traces(cluster.root, cluster.name)
    # the one that was just written is not old: its listing costs no process over a link
    if sum(name.endswith(GONE) for name in cluster.host.names(where)) <= 1:
        return
    what = ("-maxdepth", "1", "-type", "f", "-name", f"*{GONE}", "-mtime", f"+{GONE_DAYS}")
    done = cluster.host.run(("find", where, *what, "-delete"), limit=_LIMIT)
    if done.exit_code:
        logger.warning("%s", done.stderr.strip(), extra={"action": "tidy"})
