"""The traces that a cluster keeps of its runs: reading them, and the documents that they speak of.

for trace in found(p, problems): ...
document_of(p, trace)
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Final

from jobferry_common.document import Document
from jobferry_common.errors import (
    JobferryError,
    NewerVersion,
    StagingError,
    UnreadableOutput,
)
from jobferry_common.files import NewFile
from jobferry_common.ledger.pages import unpack_header, unpack_page
from jobferry_common.ledger.takeover import TakenOver
from jobferry_common.scripts.layout import traces
from jobferry_common.scripts.traces import CANCEL, Trace, runs_in
from jobferry_worker.reconcile.passes import CORRUPT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from jobferry_common.names import RunId
    from jobferry_worker.reconcile.passes import Pass

logger: Final = logging.getLogger(__name__)

#: what makes one run, and no other, impossible to put back
UNUSABLE: Final = (UnreadableOutput, NewerVersion, StagingError)
#: run → why its trace cannot be used
Problems = dict[str, str]


def known_here(p: Pass) -> dict[RunId, str]:
    """Return the runs of which the cluster keeps a trace, or a note that they are gone, with its file's name."""
    return runs_in(p.names(traces(p.cluster.root, p.name)))


def found(p: Pass, problems: Problems, runs: Iterable[tuple[RunId, str]]) -> list[Trace]:
    """Return the traces of runs, oldest first; one that cannot be read is a problem of its own run alone."""
    where = traces(p.cluster.root, p.name)
    paths = {f"{where}/{name}": run for run, name in runs}
    traced = []
    for path, content in p.read(list(paths)).items():
        try:
            traced.append(Trace.unpack(content))
        except JobferryError as error:
            problems[paths[path]] = str(error)
            logger.warning("%s: %s", path, error, extra={"action": "recover"})
    return sorted(traced, key=lambda one: (one.accepted, one.run))


def wished_ends(p: Pass, runs: Collection[RunId]) -> list[RunId]:
    """Return those of the runs of which the cluster knows that somebody wants them to end."""
    where = traces(p.cluster.root, p.name)
    names = set(p.names(where)) if runs else set()
    return [run for run in runs if f"{run}{CANCEL}" in names]


def mark_wished_ends(p: Pass) -> None:
    """Note on the cluster which runs somebody wants to end: the broker may forget it."""
    where, marked = traces(p.cluster.root, p.name), p.memory.marked
    wanted = [run for run in p.ledger.cancel_wishes(p.name) if run not in marked]
    if wanted:
        p.write([NewFile(path=f"{where}/{run}{CANCEL}", content=b"cancel\n") for run in wanted])
        marked.update(wanted)


def document_of(p: Pass, trace: Trace) -> tuple[Document, TakenOver]:
    """Return the document of a run, and what it had taken over.

    Raises:
        UnreadableOutput: not all of it is there, or it is not what was written.
    """
    where = f"{trace.control}/document"
    paths = [f"{where}/{number}" for number in range(trace.pieces)]
    pieces = p.read([*paths, f"{where}/taken"])
    try:
        header = unpack_header(pieces[paths[0]])
        tasks = [task for path in paths[1:] for task in unpack_page(pieces[path])]
        taken = _taken(pieces.get(f"{where}/taken"))
        if len(tasks) != header.tasks:
            msg = f"{len(tasks)} of {header.tasks} tasks"
            raise ValueError(msg)
    except CORRUPT as error:
        msg = f"the document of run {trace.run} in {where} cannot be read: {error!r}"
        raise UnreadableOutput(msg) from error
    return Document(header=header, tasks=tuple(tasks)), taken


def _taken(content: bytes | None) -> TakenOver:
    if content is None:
        return TakenOver()
    given = json.loads(content)
    jobs, tasks = (
        {int(job): str(text) for job, text in given[name].items()} for name in ("jobs", "tasks")
    )
    return TakenOver(jobs=jobs, tasks=tasks, count=int(given["count"]))
