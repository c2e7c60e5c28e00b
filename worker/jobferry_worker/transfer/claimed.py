"""The files of jobs that a cluster has claimed: only those, and the common ones once.

stage_claimed(ledger, cluster, run, header, staging, renew)      # due() returns them now
rest_from(ledger, cluster, run, settings)                        # they cannot be brought here: others may have them
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from jobferry_common.killpoints import kill_here
from jobferry_common.ledger.sharing import GIVEN_UP
from jobferry_common.states import ResultsState
from jobferry_worker.reconcile.root import see_root
from jobferry_worker.transfer.resuming import write_marks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from jobferry_common.document import Header, TaskSpec
    from jobferry_common.ledger import Ledger
    from jobferry_common.ledger.records import RunRecord
    from jobferry_common.names import ClusterName, RunId
    from jobferry_common.settings import Settings
    from jobferry_worker.cluster import Cluster
    from jobferry_worker.staging.base import Staging

    Page = Sequence[tuple[int, TaskSpec]]

logger: Final = logging.getLogger(__name__)

#: jobs whose files are brought between two entries in the ledger
_JOBS: Final = 200


def stage_claimed(
    ledger: Ledger,
    cluster: Cluster,
    run: RunId,
    whole: Header,
    staging: Staging,
    renew: Callable[[], None],
) -> None:
    """Bring the files of all jobs of a run that this cluster has claimed, so that they may be submitted.

    Raises:
        StagingError: it is not possible now, or never.
    """
    memory = cluster.memory
    layout = cluster.layout_of(whole, run, ledger.id)
    while jobs := ledger.claimed(run, cluster.name, _JOBS):
        renew()
        header = replace(whole, forward_common=()) if run in memory.commons else whole
        indices = [index for job in jobs for index in whole.tasks_of(job)]
        staging.stage(header, _pages(ledger, run, indices), layout)
        if run not in memory.commons:
            write_marks(ledger, cluster.host, whole, layout, renew)
        see_root(ledger, cluster)
        memory.commons.add(run)
        kill_here("after-claimed-brought")
        staged = ledger.staged(run, cluster.name, jobs)
        logger.info(
            "The files of %d jobs of %s are at %s.",
            *(staged, run, cluster.name),
            extra={"action": "staged"},
        )
    memory.unstageable.pop(run, None)


def _pages(ledger: Ledger, run: RunId, indices: Iterable[int]) -> Iterator[Page]:
    yield sorted(ledger.tasks(run, indices).items())


def files_of(ledger: Ledger, cluster: Cluster, run: RunId) -> str:
    """Return the name of the lease of a run's files; each of several clusters has files of its own."""
    return f"files:{run}@{cluster.name}" if ledger.run(run).targets else f"files:{run}"


def rest_from(ledger: Ledger, cluster: Cluster, run: RunId, settings: Settings) -> None:
    """Give back what cannot be brought here, and leave the run to others for a while that grows."""
    timings, memory = settings.timings, cluster.memory
    failures = memory.unstageable.get(run, (0, 0.0))[0] + 1
    rest = min(timings.probe_seconds * 2.0 ** min(failures - 1, 20), timings.probe_max_seconds)
    memory.unstageable[run] = (failures, time.time() + rest)
    given = ledger.unclaim(run, cluster.name, staged=False)
    logger.warning(
        "%d jobs of %s go back to the pool: their files cannot be brought to %s.",
        *(given, run, cluster.name),
        extra={"action": "unclaim"},
    )


def is_over(ledger: Ledger, record: RunRecord, at: ClusterName | None) -> bool:
    """Tell whether nothing of a run can come to pass any more: not even of jobs that outlive its failure."""
    if at is None and ledger.has_strays(record.id, record.cluster):
        return False  # they were given up, and may still write
    counts = record.counts if at is None else ledger.by_cluster(record.id).get(at, {})
    return record.state.is_final and not any(
        count for state, count in counts.items() if state.is_in_flight
    )


def results_at(ledger: Ledger, run: RunId, at: ClusterName | None) -> ResultsState:
    """Return how far the results of a run are; of a shared one, at one of its clusters."""
    if at is None:
        return ledger.run(run).results
    found = ledger.places(run).get(at, ResultsState.CLEANED)
    # what was given up is left alone: something may still run there
    return ResultsState.CLEANED if found == GIVEN_UP else ResultsState(found)
